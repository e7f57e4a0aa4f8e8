"""Read a data set, check its content, and store its images (or the names of their files), classes and labels."""

from goodsubnet.data.files import unpack
from goodsubnet.data.preparation import prepared
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import PrepareSettings


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data-dir", required=True, help="where data sets lie, or are downloaded to")
    arguments.add_argument("--dataset", required=True, help="name of the data set")
    args = arguments.parse_args(argv)
    with Job("prepare", args.output, PrepareSettings.model_validate(args.settings), {}, dataset=args.dataset) as job:
        tensors = prepared(job.settings.dataset, args.data_dir)
        for part in ("train", "test"):
            print(f"{part}: {len(tensors[f'{part}_labels']):,} images of {len(unpack(tensors['class_names']))} classes")
        job.save_tensors(tensors)


if __name__ == "__main__":
    run(main)
