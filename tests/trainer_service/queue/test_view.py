from kombu.transport.redis import Channel

from trainer_service.queue.view import SEPARATOR


def test_the_lists_are_named_as_celery_names_them():
    assert Channel.sep == SEPARATOR
