"""How far canopy heights lie beside their image: one shift of all, or one that varies by place."""
