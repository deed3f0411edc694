"""``python -m monai_hyperscale`` is the command line."""

from monai_hyperscale.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
