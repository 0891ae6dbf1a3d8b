"""How far pictures are from known ones, and the file that a version carries for that."""

import numpy as np
import pytest

from shared.arrays import MOST_FILE_BYTES, pack
from shared.models.unknown import Comparer, KnownImages, fewest_distances, known_shares, scaled

#: In a plane, at 0, 60, 120 and 180 degrees.
AROUND = np.array([[1, 0], [0.5, 0.75**0.5], [-0.5, 0.75**0.5], [-1, 0]])


def known(embeddings=AROUND, distances=(0.1, 0.2, 0.2, 0.4)):
    return KnownImages(
        scaled(np.asarray(embeddings)).astype(np.float16),
        tuple(f"{number:064x}" for number in range(len(embeddings))),
        np.array(distances, np.float32),
    )


def test_the_nearest_are_named_in_their_order_with_one_less_the_cosine():
    pictures = np.array([[5, 0.1], [-0.01, 0]], np.float32)  # of any length

    found = Comparer(known()).compare(pictures)

    np.testing.assert_array_equal(found.nearest, [[0, 1, 2], [3, 2, 1]])
    np.testing.assert_allclose(found.distances[1], [0, 0.5, 1.5], atol=1e-3)
    np.testing.assert_allclose(found.distances[0, 0], 1 - 5 / (25.01**0.5), atol=1e-3)


def test_of_fewer_than_three_images_all_are_named():
    found = Comparer(known(AROUND[:2])).compare(np.array([[0, 1]], np.float32))

    np.testing.assert_array_equal(found.nearest, [[1, 0]])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_embedding_without_a_direction_is_as_far_as_can_be(value):
    found = Comparer(known()).compare(np.array([[value, value]], np.float32))

    assert (found.distances == 2).all()
    assert found.known[0] == pytest.approx(1 / 5)


def test_known_is_the_share_that_is_at_least_as_far_the_picture_included():
    distances = np.array([0.1, 0.2, 0.2, 0.4], np.float32)
    of = np.array([0.0, 0.2, 0.3, 0.5], np.float32)

    np.testing.assert_allclose(known_shares(distances, of), [5 / 5, 4 / 5, 2 / 5, 1 / 5])
    np.testing.assert_array_equal(known_shares(distances[:0], of), 1)


def test_known_pictures_are_called_unknown_as_often_as_was_asked():
    """Whatever the distances are like; on average over which of them are carried."""
    random = np.random.default_rng(0)
    draws = random.lognormal(size=(2000, 60)).astype(np.float32)
    called = [known_shares(np.sort(row[:59]), row[59:]) <= 0.1 for row in draws]

    assert np.mean(called) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("rate", "fewest"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.07, 14)])
def test_so_many_distances_are_needed_for_a_rate(rate, fewest):
    far = np.array([9], np.float32)

    assert fewest_distances(rate) == fewest
    assert known_shares(np.zeros(fewest, np.float32), far) <= rate
    assert known_shares(np.zeros(fewest - 1, np.float32), far) > rate


@pytest.mark.parametrize("rate", [1e-300, 5e-324])
def test_no_file_can_tell_the_tiniest_rates(rate):
    assert 1e9 < fewest_distances(rate) < 1e19


def test_what_is_carried_is_read_as_it_was_written():
    written = known()

    read = KnownImages.unpack(written.pack())

    np.testing.assert_array_equal(read.embeddings, written.embeddings)
    np.testing.assert_array_equal(read.distances, written.distances)
    assert read.images == written.images
    assert written.pack() == known().pack(), "equal images make equal files"


def carried(**changed):
    arrays = {
        "embeddings": np.zeros((2, 3), "<f2"),
        "images": np.zeros((2, 32), np.uint8),
        "distances": np.array([0.1, 0.2], "<f4"),
    }
    return pack({name: array for name, array in (arrays | changed).items() if array is not None})


def compressed():
    from io import BytesIO

    file = BytesIO()
    np.savez_compressed(
        file, embeddings=np.zeros((2, 3), "<f2"), images=np.zeros((2, 32), np.uint8),
        distances=np.zeros(2, "<f4"),
    )  # fmt: skip
    return file.getvalue()


def pickled():
    from io import BytesIO

    file = BytesIO()
    np.savez(file, embeddings=np.array([{"a": 1}], object), allow_pickle=True)
    return file.getvalue()


def claiming(lengths):
    """Return a file whose distances say that they are of these lengths; there are four numbers."""
    import zipfile
    from io import BytesIO

    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {lengths}}}\n".encode()
    file = BytesIO(carried(distances=None))
    with zipfile.ZipFile(file, "a") as archive:
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("distances.npy", start + header + bytes(16))
    return file.getvalue()


DAMAGED = [
    (b"", "a file of arrays"),
    (b"PK\x03\x04" + bytes(100), "a file of arrays"),
    (carried()[:-200], "a file of arrays"),
    (carried().replace(b"'descr': '<f2'", b"'descr': '<f9'"), "Bad CRC-32"),
    (compressed(), "embeddings should not be compressed"),
    (pickled(), "embeddings should be float16 of any x any. Received: object"),
    (carried(distances=None), "should have the array 'distances'"),
    (carried(embeddings=np.zeros((2, 3), "<f4")), "embeddings should be float16 of any x any"),
    (carried(embeddings=np.zeros((2, 3, 1), "<f2")), "embeddings should be float16"),
    (carried(images=np.zeros((2, 16), np.uint8)), "images should be uint8 of any x 32"),
    (carried(images=np.zeros((3, 32), np.uint8)), "as many embeddings as images"),
    (carried(embeddings=np.zeros((0, 3), "<f2"), images=np.zeros((0, 32), np.uint8)), "at least"),
    (carried(embeddings=np.zeros((2, 0), "<f2")), "at least one"),
    (carried(embeddings=np.full((2, 3), np.nan, "<f2")), "finite"),
    (carried(distances=np.array([0.2, 0.1], "<f4")), "ascend"),
    (carried(distances=np.array([0.1, np.inf], "<f4")), "finite"),
    (claiming("(True,)"), "distances is not as it says"),
    (claiming("(5,)"), "distances is not as it says"),
    (claiming(f"({10**30},)"), "distances is not as it says"),
    (claiming("(-1,)"), "distances should be float32 of any"),
    (bytes(MOST_FILE_BYTES + 1), "at most 5000000 bytes"),
]


@pytest.mark.parametrize(("data", "reason"), DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_told_as_what_it_is(data, reason):
    with pytest.raises(ValueError, match=reason):
        KnownImages.unpack(data)


def test_any_flipped_bit_is_told_or_changes_nothing_that_counts():
    """Never another exception, and no more memory than the file has."""
    data = carried()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        try:
            read = KnownImages.unpack(bytes(damaged))
        except ValueError:
            continue
        assert len(read.images) == 2
