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
    Bad("a report on a version that does not exist", "report 9", 2, "no version 9 | there are [0, 1] | edgecl log"),
    Bad("a report over something else", "report --out more", 2, "--out more is a folder | the page is one file | --out more/report.html"),
    Bad(
        "a report into no folder", "report --out no/page.html", 2, "no/page.html | which is not a folder | choose another place with --out"
    ),
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
        "a kind of camera that is not supported",
        "run --source usb-cam://1",
        2,
        "'usb-cam://1' | is not supported | Supported now: a folder of pictures",
    ),
    Bad("no camera at all", "run", 2, "there is no camera | --source | settings.toml: [cameras.bench]"),
    Bad("a stream without a host", "run --source rtsp:///1", 2, "'rtsp:///1' | names no host | rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH"),
    Bad("a CSI camera with a name", "run --source csi://left", 2, "'csi://left' | is no CSI camera | csi://0"),
    Bad("a drawn thing that nobody draws", "run --source test://cat", 2, "'cat' | no thing | Choose from gear", file("x")),
    Bad("a camera given twice", "run --source more --source more", 2, "'more' | is given twice | Name each camera once"),
    Bad(
        "an MQTT address without a topic",
        "run --source more --mqtt mqtt://broker",
        2,
        "'mqtt://broker' | names no MQTT broker | HOST[:PORT]/TOPIC",
    ),
    Bad("a webhook that is no address", "run --source more --webhook ftp://x", 2, "'ftp://x' | is no address | http://HOST[:PORT]/PATH"),
    Bad("an empty command", "run --source more --on-change=", 2, "the command | is empty | Name a program"),
    Bad("a log that holds nothing", "run --source more --log a.log --log-mib 0.01", 2, "'0.01' | a number from 0.1 up | edgecl run --help"),
    Bad("a log that cannot be written", "run --source more --log more", 4, "'more' | cannot be written | a folder that may be written"),
    Bad(
        "a camera through an OpenCV without GStreamer",
        "run --source csi://0",
        8,
        "csi://0 | built with GStreamer | apt install python3-opencv",
    ),
    Bad("half of a TLS pair", "run --source test:// --page --tls-cert c.pem", 2, "a certificate and its key | both | --tls-key FILE"),
    Bad(
        "TLS files that are none",
        "run --source test:// --page --tls-cert c.pem --tls-key c.pem",
        4,
        "c.pem | no TLS certificate and its key | Expected two PEM files",
        file("c.pem", "x"),
    ),
    Bad("a page's option without a page", "run --source more --page-private", 2, "--page-private | about the page | add --page"),
    Bad(
        "an address of another machine", "run --source test:// --page --host 203.0.113.1", 2, "203.0.113.1 | cannot listen | --host ADDRESS"
    ),
    Bad("a port too high", "run --source test:// --page --port 70000", 2, "70000 | cannot listen | --port N"),
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
