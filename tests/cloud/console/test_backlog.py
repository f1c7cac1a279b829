import threading

from mclu_shell.cloud.console.backlog import MOST_BYTES, Backlog


def test_output_without_a_reader_loses_its_oldest_part() -> None:
    backlog = Backlog()
    for number in range(300_000):
        backlog.put(b"%09d\n" % number)
    data = backlog.get()
    assert len(data) == MOST_BYTES
    assert data.endswith(b"000299999\n")


def test_a_reader_gets_all_output_and_then_the_end() -> None:
    backlog, received = Backlog(), bytearray()

    def read() -> None:
        while data := backlog.get():
            received.extend(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for _ in range(1000):
        backlog.put(b"line\n")
    backlog.end()
    reader.join(10)
    assert received == b"line\n" * 1000
