"""The programs that Headstart is compared with, each written as its own guides recommend."""
