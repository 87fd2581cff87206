"""The one exception whose message is written for the person at the keyboard."""


class InputError(ValueError):
    """Something the user can mend: a picture, an annotation, a setting.

    The message is one line and says what was found, where (file, line, key) and what to do. ``train.py`` and
    ``predict.py`` print it without a traceback; every other exception is a bug of ours and keeps its traceback.
    """
