"""`python -m client`: the command `headstart`."""

from client.app import app


def main() -> None:
    app(prog_name="headstart")


if __name__ == "__main__":
    main()
