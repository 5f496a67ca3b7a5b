"""Arguments that make no sense, alone or together."""

from tests.cli.bad.row import Bad
from tests.cli.workplace import file, hidden, run_before, together, weights

INIT = "init new --backbone vit_tiny_patch16_224 --weights weights.safetensors"
LEARN = "learn --task more"

ROWS = (
    Bad("a command that does not exist", "lern", 2, "'lern' | No such command | edgecl --help"),
    Bad("an option that does not exist", f"{LEARN} --epoch 3", 2, "--epoch | No such option | edgecl learn --help"),
    Bad("no task", "learn", 2, "'--task' | Missing option | edgecl learn --help"),
    Bad("no backbone", "init new", 2, "'--backbone' | Missing option | edgecl init --help"),
    Bad("zero epochs", f"{LEARN} --epochs 0", 2, "'0' | a whole number from 1 up | edgecl learn --help"),
    Bad("epochs in words", f"{LEARN} --epochs many", 2, "'many' | a whole number from 1 up | edgecl learn --help"),
    Bad("a device of another name", f"{LEARN} --device gpu", 2, "'gpu' | is not one of: auto, cpu, cuda | edgecl learn --help"),
    Bad("a batch of nothing", f"{LEARN} --batch 0", 2, "'0' | a whole number from 1 up | edgecl learn --help"),
    Bad("a negative seed", f"{LEARN} --seed -1", 2, "'-1' | a whole number from 0 up | edgecl learn --help"),
    Bad("a drop of 7", f"{LEARN} --max-drop 7", 2, "'7' | a number from 0 to 1 | edgecl learn --help"),
    Bad("a drop that is not a number", f"{LEARN} --max-drop nan", 2, "'nan' | a number from 0 to 1 | edgecl learn --help"),
    Bad("a capacity of 100", f"{INIT} --capacity 100", 2, "--capacity 100 | a multiple of 8 | such as 128", weights()),
    Bad(
        "an adapter above the last block",
        f"{INIT} --first-block 12",
        2,
        "from block 12 | which has 12 blocks | a block below 12",
        weights(),
    ),
    Bad(
        "a picture size that patches do not divide",
        f"{INIT} --image-size 100",
        4,
        "100 pixels do not divide into patches of 16 | take a multiple | take a multiple",
        weights(),
    ),
    Bad("two places for one store", f"{INIT} --store other", 2, "new and other | two places | Give one of them", weights()),
    Bad(
        "a store on top of a store",
        INIT.replace("new", "model"),
        2,
        "model is already a store | is already a store | edgecl learn --store",
        weights(),
    ),
    Bad(
        "a store on top of something else",
        INIT.replace("new", "more"),
        2,
        "more is not an empty folder | is not an empty folder | Choose another place",
        weights(),
    ),
    Bad("a board that does not exist", "devices orin", 4, "'orin' | expected one of: agx-orin-32 | edgecl devices"),
    Bad(
        "a board's files that are not there",
        "doctor --root nowhere",
        4,
        "nowhere is not a folder | Expected one with | etc/nv_tegra_release",
    ),
    Bad("a version that does not exist", "promote 9", 2, "no version 9 | there are [0, 1] | edgecl log"),
    Bad("the page of a version that does not exist", "show 9", 2, "no version 9 | there are [0, 1] | edgecl log"),
    Bad("a run with a version that does not exist", "run --source more --version 9", 2, "no version 9 | there are [0, 1] | edgecl log"),
    Bad(
        "a rollback of the first version",
        "rollback",
        2,
        "version 0 is the first one | nothing to roll back to | nothing to roll back to",
        run_before("rollback"),
    ),
    Bad(
        "a rollback forwards", "rollback 1", 2, "version 1 is not older | the current version 0 | edgecl promote 1", run_before("rollback")
    ),
    Bad("forgetting nothing", "forget", 2, "name either a task | or a class | edgecl log lists them"),
    Bad(
        "forgetting a task and a class", "forget t0001-colours --class red", 2, "name either a task | and not both | edgecl log lists them"
    ),
    Bad("forgetting a task that was never learned", "forget t0009-cups", 2, "'t0009-cups' | it was taught ['t0001-colours'] | edgecl log"),
    Bad("forgetting a class that does not exist", "forget --class cup", 2, "'cup' | it has green, red | edgecl show"),
    Bad("renaming a class that does not exist", "rename cup mug", 2, "'cup' | The classes are: green, red | The classes are: green, red"),
    Bad("a name that another class has", "rename red Green", 4, "'Green' | taken by 'green' | Choose another name"),
    Bad(
        "a name that stands for no class",
        "rename red -- -",
        4,
        "'-' cannot be a class name | use 1 to 100 printable characters | use 1 to 100 printable characters",
    ),
    Bad("a smaller capacity", "grow --capacity 8", 2, "--capacity 8 | a multiple of 8 above the 8 | a multiple of 8 above the 8"),
    Bad(
        "a larger capacity that is odd",
        "grow --capacity 20",
        2,
        "--capacity 20 | a multiple of 8 above the 8 | a multiple of 8 above the 8",
    ),
    Bad("keeping -1 versions", "gc --keep -1", 2, "--keep -1 | is negative | Use 0 or more versions"),
    Bad(
        "a camera that is not supported yet",
        "run --source rtsp://camera/1",
        2,
        "'rtsp://camera/1' | is not supported | Supported now: a folder of pictures",
    ),
    Bad("no ONNX Runtime", "run --source more", 8, "'onnxruntime' | is not installed | pip install 'edgecl[run]'", hidden("onnxruntime")),
    Bad("no onnx package", "grow --capacity 16", 8, "'onnx' | is not installed | pip install 'edgecl[learn]'", hidden("onnx")),
    Bad(
        "a video without OpenCV",
        "run --source a.mp4",
        8,
        "'opencv-python-headless' | is not installed | pip install 'edgecl[camera]'",
        together(file("a.mp4", bytes(1000)), hidden("cv2")),
    ),
    Bad("an export of nothing", "export", 2, "say what to export | --onnx | --onnx"),
    Bad(
        "two exports at once",
        "export --onnx --trt",
        2,
        "--onnx and --trt was given | one of --onnx, --trt and --deepstream | say what to export",
    ),
    Bad(
        "an engine in a folder",
        "export --trt --device desktop-gpu --out x",
        2,
        "--opset and --out | an engine lies in the store | are for --onnx and --deepstream",
    ),
    Bad(
        "an engine for a board without TensorRT",
        "export --trt --device cpu",
        8,
        "has no TensorRT | nothing to build for it | Use: edgecl export --onnx",
    ),
    Bad(
        "an engine without TensorRT",
        "export --trt --device desktop-gpu",
        8,
        "TensorRT is not installed here | On a Jetson it comes with JetPack | edgecl run --runtime ort",
        hidden("tensorrt"),
    ),
    Bad("an engine for a board that does not exist", "export --trt --device toaster", 4, "'toaster' | expected one of | edgecl devices"),
    Bad(
        "a runtime that does not exist",
        "run --source more --runtime tflite",
        2,
        "--runtime tflite | choose one of ort, trt, auto | choose one of",
    ),
    Bad("an opset that is not written", "export --onnx --opset 19", 2, "opset 19 | choose one of [16, 17, 18, 20] | --opset"),
    Bad("a precision that is not written", "export --onnx --precision int4", 2, "'int4' | choose one of ['fp32', 'fp16'] | --precision"),
    Bad(
        "an export over other files",
        "export --onnx --out more",
        2,
        "more exists and holds blue | only an export | Choose another one with --out",
    ),
    Bad("a demo over other files", "demo --out more", 2, "--out more | is not an empty folder | Choose another one"),
)
