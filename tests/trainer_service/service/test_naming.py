"""The name of a model whose training names none."""

import pytest

from shared.identifiers import is_model_name
from trainer_service.service.naming import model_name_of


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("pets", "pets"),
        ("pets.zip", "pets"),
        ("animals/Pets 2.tar.gz", "Pets-2"),
        ("animals/v2.1/", "v2-1"),
        ("C:\\photos\\pets.ZIP", "pets"),
        ("Bäume.tgz", "Baume"),
        ("_pets-", "pets"),
        ("x" * 62 + " y", "x" * 62),
        ("猫.zip", "default"),
        ("..", "default"),
        ("", "default"),
    ],
)
def test_a_name_is_made_of_that_of_the_images(source, name):
    assert model_name_of(source) == name
    assert is_model_name(name)
