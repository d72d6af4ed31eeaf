"""The limiter `none`."""

from rollouts.limiters.unlimited import Unlimited
from rollouts.testing.contracts.limiter import LimiterContract


class TestContract(LimiterContract):
    def make(self, options):
        return Unlimited(options)
