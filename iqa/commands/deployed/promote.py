"""Makes a tested model the one that others rely on: `iqa promote MODEL --to NAME[@champion] [--margin M] [--force]`.

Registers it in MLflow and moves the alias, if it is not worse than the version that has the alias today: the difference
of their test SRCC on the same pictures is at least minus the margin, and its 95 % interval does not lie wholly below
zero. A model that is refused is not registered, and the exit code is 2.
"""

from __future__ import annotations

from iqa.commands.cli import add_flag, add_model, named_model, parser_for
from iqa.progress import tell


def main(arguments: list[str]) -> None:
    parser = parser_for("promote", __doc__, "The decision is kept as tags and description of the version.")
    add_model(parser, "experiment folder, runs:/<id> or models:/<model id>")
    parser.add_argument("--to", required=True, help="name in the registry, or name@alias (usual alias: champion)")
    parser.add_argument("--margin", default=0.005, type=float, help="SRCC that it may lack (default: %(default)s)")
    add_flag(parser, "--force", "promote it whatever the comparison says; that is recorded")
    options = parser.parse_args(arguments)
    model = named_model(options, "iqa promote experiments/quick_test --to photos")
    tell(
        f"promote: {model} to {options.to}, if it is not worse on the same test pictures; next to no disk, "
        "about 500 MB of memory; writes a version in MLflow's registry",
        work="promote",
        what=f"{model} to {options.to}",
        disk=0,
        writes=["MLflow's registry"],
    )
    # Imported late: --help must not wait for torch.
    from iqa.deploy.promotion import promote

    promote(model, options.to, margin=options.margin, force=options.force, verbose=True)
