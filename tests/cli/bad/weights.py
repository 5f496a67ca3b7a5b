"""Weights and labels that are not what `init` needs."""

from tests.cli.bad.row import Bad
from tests.cli.workplace import cut, file, folder, one_tensor, pickled, together, weights

INIT = "init new --backbone vit_tiny_patch16_224 --weights weights.safetensors"

ROWS = (
    Bad(
        "no weights file",
        INIT,
        4,
        "weights.safetensors cannot be read: No such file | Expected a .safetensors file | Expected a .safetensors file",
    ),
    Bad(
        "a folder instead of weights",
        INIT,
        4,
        "weights.safetensors cannot be read: Is a directory | Expected a .safetensors file | Expected a .safetensors file",
        folder("weights.safetensors"),
    ),
    Bad(
        "an empty weights file", INIT, 4, "weights.safetensors | is not a safetensors file | Download it again", file("weights.safetensors")
    ),
    Bad(
        "a pickle of old",
        INIT,
        4,
        "weights.safetensors is a pickle | can run code when it is opened | from safetensors.torch import save_file",
        file("weights.safetensors", pickled()),
    ),
    Bad(
        "a pickle in a zip",
        "init new --backbone vit_tiny_patch16_224 --weights w.pth",
        4,
        "w.pth is a pickle | can run code when it is opened | save_file(load('w.pth', weights_only=True), 'w.safetensors')",
        file("w.pth", b"PK\x03\x04" + bytes(100)),
    ),
    Bad(
        "a text instead of weights",
        INIT,
        4,
        "weights.safetensors | is not a safetensors file | Download it again",
        file("weights.safetensors", "weights\n" * 10),
    ),
    Bad(
        "a header of 2^63 bytes",
        INIT,
        4,
        "weights.safetensors | is not a safetensors file | Download it again",
        file("weights.safetensors", b"\xff" * 7 + b"\x7f" + bytes(100)),
    ),
    Bad(
        "weights that are cut short",
        INIT,
        4,
        "weights.safetensors | is not a safetensors file | Download it again",
        together(weights(), cut("weights.safetensors")),
    ),
    Bad(
        "weights of something else",
        INIT,
        4,
        "cls_token is missing | does not hold vit_tiny_patch16_224 | Check --backbone against the file",
        file("weights.safetensors", one_tensor()),
    ),
    Bad(
        "weights of a larger model",
        INIT.replace("tiny", "small"),
        4,
        "cls_token is [1, 1, 192] | instead of [1, 1, 384] | Check --backbone against the file",
        weights(),
    ),
    Bad(
        "weights without one tensor",
        INIT,
        4,
        "blocks.3.mlp.fc1.bias is missing | does not hold vit_tiny_patch16_224 | Check --backbone against the file",
        weights(lambda tensors: tensors.pop("blocks.3.mlp.fc1.bias")),
    ),
    Bad(
        "weights with one more tensor",
        INIT,
        4,
        "dist_token is not part of it | does not hold vit_tiny_patch16_224 | Check --backbone against the file",
        weights(lambda tensors: tensors.update(dist_token=tensors["cls_token"])),
    ),
    Bad(
        "weights with NaN",
        INIT,
        4,
        "norm.weight holds values that are not finite | does not hold vit_tiny_patch16_224 | Check --backbone against the file",
        weights(lambda tensors: tensors["norm.weight"].fill(float("nan"))),
    ),
    Bad(
        "weights without the name of their backbone",
        "init new --weights weights.safetensors",
        4,
        "weights.safetensors | does not hold edgecl_vit_nano | Check --backbone against the file",
        weights(),
    ),
    Bad(
        "a picture size that the built-in backbone's patches do not divide",
        "init new --image-size 100",
        4,
        "100 pixels | do not divide into patches of | take a multiple, such as 96",
    ),
    Bad(
        "a backbone that is not supported",
        INIT.replace("vit_tiny_patch16_224", "resnet50"),
        4,
        "'resnet50' is not supported | Plain Vision Transformers of timm are | tested are: vit_tiny_patch16_224",
        weights(),
    ),
    Bad("no labels file", f"{INIT} --labels l.txt", 4, "l.txt cannot be read | one class name per line | Expected a UTF-8 text", weights()),
    Bad(
        "an empty labels file",
        f"{INIT} --labels l.txt",
        4,
        "l.txt is empty | one class name per line | Expected one class name per line",
        together(weights(), file("l.txt")),
    ),
    Bad(
        "labels that are not UTF-8",
        f"{INIT} --labels l.txt",
        4,
        "byte 0xe9 | one class name per line | Expected a UTF-8 text",
        together(weights(), file("l.txt", b"caf\xe9\n")),
    ),
    Bad(
        "a label twice",
        f"{INIT} --labels l.txt",
        4,
        "'Cup' | line 1 and again in line 3 | Give every class a name of its own",
        together(weights(), file("l.txt", "cup\nmug\nCup\n")),
    ),
    Bad(
        "two labels for three rows",
        f"{INIT} --labels l.txt",
        4,
        "the labels name 2 classes | the classifier has 3 rows | Give one line per row",
        together(weights(), file("l.txt", "cup\nmug\n")),
    ),
    Bad(
        "labels without a classifier",
        f"{INIT} --labels l.txt",
        4,
        "weights.safetensors has no classifier | --labels has nothing to name | Leave --labels out",
        together(weights(lambda tensors: [tensors.pop("head.weight"), tensors.pop("head.bias")]), file("l.txt", "cup\n")),
    ),
)
