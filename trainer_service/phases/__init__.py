"""The phases of a training, as plain functions that know no broker and no web framework."""
