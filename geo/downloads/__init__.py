"""Single files over https: resumed where they broke off, no server told what it need not know."""
