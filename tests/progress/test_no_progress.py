"""The progress reporter `none`."""

from rollouts.progress.none import Silent
from rollouts.testing.contracts.progress import ProgressContract, sample_event


class TestContract(ProgressContract):
    def make(self, options):
        return Silent(options)


def test_shows_nothing(capsys):
    reporter = Silent()
    reporter.start(2, 0)
    reporter.advance(sample_event(0))
    reporter.close()
    assert capsys.readouterr() == ("", "")
