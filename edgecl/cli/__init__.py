"""The command line: one file per command. Here they are put together, and here errors become messages and exit codes."""

import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from edgecl import __version__
from edgecl.cli.apply import apply
from edgecl.cli.demo import demo
from edgecl.cli.devices import devices
from edgecl.cli.doctor import doctor
from edgecl.cli.evaluate import evaluate
from edgecl.cli.export import export
from edgecl.cli.forget import forget
from edgecl.cli.gc import gc
from edgecl.cli.grow import grow
from edgecl.cli.init import init
from edgecl.cli.keygen import keygen
from edgecl.cli.learn import learn
from edgecl.cli.log import log
from edgecl.cli.output import drop_the_rest_of_stdout, escape_what_cannot_be_printed, note
from edgecl.cli.pack import pack
from edgecl.cli.promote import promote
from edgecl.cli.rename import rename
from edgecl.cli.report import report
from edgecl.cli.rollback import rollback
from edgecl.cli.run import run
from edgecl.cli.show import show
from edgecl.cli.status import status
from edgecl.cli.verify import verify
from edgecl.errors import EdgeclError, Interrupted, MissingExtra, NoSpace

# Which extra brings what a command may fail to import.
EXTRAS = {
    "cryptography": "sign",
    **dict.fromkeys(("cv2", "anyio", "prometheus_client", "starlette", "uvicorn"), "camera"),
    **dict.fromkeys(("onnx", "timm", "torch", "torchvision"), "learn"),
    "jinja2": "run",
    "onnxruntime": "run",
}

# In the order in which one needs them; `edgecl --help` shows them so.
COMMANDS: tuple[Callable[..., None], ...] = (
    init, learn, export, run, log, show, status, promote, rollback, forget, rename, grow, evaluate, report, verify, gc, pack, apply, keygen,
    devices, doctor, demo,
)  # fmt: skip

# Plain help: a box drawn by rich would cost more time than everything else that `--help` does.
app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for _command in COMMANDS:
    app.command()(_command)

INTERRUPTED = Interrupted.exit_code

# Click's base class of everything that is wrong with arguments; typer carries its own copy of click in some releases.
_ClickError: Any = typer.BadParameter.__mro__[2]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgecl {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print which edgecl this is.")] = False,
) -> None:
    """Teach the classifier of a camera new classes on the device itself, and take them back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` when None) and return the process's exit code; `edgecl.errors` lists them."""
    for stream in (sys.stdout, sys.stderr):
        escape_what_cannot_be_printed(stream)
    try:
        code = _run(arguments)
    except Interrupted as interruption:  # asked for, so no error
        note(str(interruption))
        return INTERRUPTED
    except EdgeclError as error:
        note(f"error: {error}")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        drop_the_rest_of_stdout()
        return 0
    except ModuleNotFoundError as error:
        return _missing(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _bug()
        where = f" while writing {error.filename}" if error.filename else ""
        note(f"error: the disk is full{where}. Free some space (edgecl gc removes what no version needs) and try again.")
        return NoSpace.exit_code
    except Exception:
        return _bug()
    if code == INTERRUPTED:  # some releases of typer turn Ctrl-C into this code, others into an exception
        note("interrupted: what was finished is kept, what was not has left nothing behind")
    return code


def _run(arguments: Sequence[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        # Standalone, typer would end the process itself, and with 1 instead of 130 after Ctrl-C.
        code = command.main(args=None if arguments is None else list(arguments), prog_name="edgecl", standalone_mode=False)
    except _ClickError as error:
        where = error.ctx.command_path if getattr(error, "ctx", None) else "edgecl"
        note(f"error: {error.format_message()} See: {where} --help")
        return int(error.exit_code)
    return code if isinstance(code, int) else 0


def _missing(error: ModuleNotFoundError) -> int:
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return _bug()
    note(f"error: {MissingExtra.of(package, EXTRAS[package], 'This command')}")
    return MissingExtra.exit_code


def _bug() -> int:
    traceback.print_exc()
    note("error: this is a bug in edgecl. Please report it together with the lines above.")
    return EdgeclError.exit_code
