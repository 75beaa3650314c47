"""Architectures of timm at sizes that build in no time; importing this registers them."""

from __future__ import annotations

from timm.models import build_model_with_cfg, register_model
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer


@register_model
def small_patch14_reg4(pretrained=False, **options):  # noqa: FBT002 - timm's own form
    """As DINOv2: patches of 14 px, a class token, four registers, layer scale."""
    return build_model_with_cfg(
        VisionTransformer, "small_patch14_reg4", pretrained, img_size=56, patch_size=14,
        embed_dim=24, depth=5, num_heads=2, reg_tokens=4, no_embed_class=True, init_values=1e-5,
        num_classes=0, **options,
    )  # fmt: skip


@register_model
def small_patch16_rope(pretrained=False, **options):  # noqa: FBT002 - timm's own form
    """As DINOv3: patches of 16 px, a class token, four registers, rotary positions only."""
    return build_model_with_cfg(
        Eva, "small_patch16_rope", pretrained, img_size=64, patch_size=16, embed_dim=24, depth=4,
        num_heads=2, num_reg_tokens=4, init_values=1e-5, qkv_bias=False, use_rot_pos_emb=True,
        use_abs_pos_emb=False, rope_type="dinov3", rope_rotate_half=True, use_fc_norm=False,
        num_classes=0, **options,
    )  # fmt: skip


@register_model
def small_patch16_tokenless(pretrained=False, **options):  # noqa: FBT002 - timm's own form
    """Registers, but no class token."""
    return build_model_with_cfg(
        VisionTransformer, "small_patch16_tokenless", pretrained, img_size=64, patch_size=16,
        embed_dim=24, depth=4, num_heads=2, reg_tokens=2, class_token=False, global_pool="avg",
        num_classes=0, **options,
    )  # fmt: skip


@register_model
def small_windows(pretrained=False, **options):  # noqa: FBT002 - timm's own form
    """As Swin: attention inside windows, maps with channels last, strides 4 to 32."""
    return build_model_with_cfg(
        SwinTransformer, "small_windows", pretrained, img_size=64, patch_size=4, window_size=4,
        embed_dim=8, depths=(2, 2, 1, 1), num_heads=(1, 2, 2, 2), num_classes=0,
        feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True}, **options,
    )  # fmt: skip
