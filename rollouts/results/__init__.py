"""What comes back: one `Response` or `Failure` a sample, all of a prompt's samples as `Rollouts`."""

from rollouts.results.response import Failure, Response, Usage, place
from rollouts.results.rollouts import Rollouts

__all__ = ["Failure", "Response", "Rollouts", "Usage", "place"]
