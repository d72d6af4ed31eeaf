"""Every error that rollouts raises. This module knows nothing of how they come about.

    RolloutsError
    ├── ConfigError (ValueError)        bad input, before anything is sent
    │   └── UnknownSetting (TypeError)  a name that is no setting; names the nearest
    ├── ProviderError                   a service said no; `.status`, `.code`
    │   ├── AuthenticationError         401: the key is missing, wrong or disabled
    │   ├── InsufficientCredit          402: no credit, or the key's own limit is spent
    │   ├── PermissionDenied            403: moderation, guardrail, region
    │   ├── NotFound                    404: no such model, or no provider under these constraints
    │   ├── BadRequest                  400, 413, 422 …: this request can never succeed
    │   │   └── PrefillUnsupported      the model or server does not continue an assistant turn
    │   ├── RateLimitError              429 after the last try
    │   ├── ServerError                 5xx, or an error inside a 200, after the last try
    │   └── MalformedResponse           an answer that has not the documented shape
    ├── TransportError                  no answer came: refused, reset, DNS, TLS, proxy
    │   └── DeadlineExceeded (TimeoutError)   `timeout` seconds were over
    ├── SamplingError                   some samples failed; carries `.rollouts` and `.failures`
    ├── MixedSamples                    strict, and the samples come from several providers or models
    ├── BudgetExceeded                  `max_cost` or `max_total_tokens` admits nothing more
    ├── OfflineMiss                     offline, and a sample is not in the cache
    ├── CacheError                      a storage cannot be read or written
    └── PluginError                     a plugin is broken, missing or claimed twice

Errors that stop a run carry the partial result in `.rollouts` (a list for many prompts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollouts.results import Failure

__all__ = [
    "AuthenticationError",
    "BadRequest",
    "BudgetExceeded",
    "CacheError",
    "ConfigError",
    "DeadlineExceeded",
    "InsufficientCredit",
    "MalformedResponse",
    "MixedSamples",
    "NotFound",
    "OfflineMiss",
    "PermissionDenied",
    "PluginError",
    "PrefillUnsupported",
    "ProviderError",
    "RateLimitError",
    "RolloutsError",
    "RolloutsWarning",
    "SamplingError",
    "ServerError",
    "TransportError",
    "UnknownSetting",
]


class RolloutsError(Exception):
    """Base of all our errors.

    Attributes:
        rollouts: What the run had got when it was stopped (`Rollouts`, or a list of them for many prompts);
            None where nothing was under way.
    """

    rollouts: Any = None


class ConfigError(RolloutsError, ValueError):
    """A setting, prompt or combination that cannot work. Raised before anything is sent."""


class UnknownSetting(ConfigError, TypeError):
    """A name that is no setting; the message names the nearest one."""


class ProviderError(RolloutsError):
    """The service answered, and the answer is no.

    Attributes:
        status: HTTP status, or the code in the body; None where neither was given.
        code: The service's own error type.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes (errors cross processes)."""
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[RolloutsError], args: tuple[Any, ...], state: dict[str, Any]) -> RolloutsError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class AuthenticationError(ProviderError):
    """401: the key is missing, wrong or disabled. Stops the run."""


class InsufficientCredit(ProviderError):
    """402: no credit is left, or the key's own limit is spent. Stops the run."""


class PermissionDenied(ProviderError):
    """403: moderation, a guardrail, a region, or a key without the right."""


class NotFound(ProviderError):
    """404: no such model, or no provider under the constraints given. Stops the run."""


class BadRequest(ProviderError):
    """400, 412, 413, 422: this request can never succeed. Stops its prompt."""


class PrefillUnsupported(BadRequest):
    """This model or server does not go on from a partial assistant turn."""


class RateLimitError(ProviderError):
    """429 after the last try."""


class ServerError(ProviderError):
    """5xx, an error inside a 200, or an empty answer, after the last try."""


class MalformedResponse(ProviderError):
    """An answer that is not JSON or has not the documented shape, after the last try."""


class TransportError(RolloutsError):
    """No answer came: connection refused or reset, DNS, TLS, proxy.

    Attributes:
        sent: True where the whole request had been sent, so that the service may have acted on it.
        permanent: True where asking again cannot help (a certificate that is not trusted).
    """

    sent: bool = False
    permanent: bool = False


class DeadlineExceeded(TransportError, TimeoutError):
    """No complete answer within `timeout` seconds. The service may charge for it all the same."""


class SamplingError(RolloutsError):
    """Some samples failed; the others are stored.

    Attributes:
        rollouts: The partial result.
        failures: The `Failure`s, in the order asked.
    """

    def __init__(self, message: str, *, rollouts: Any = None, failures: Sequence[Failure] = ()) -> None:
        super().__init__(message)
        self.rollouts = rollouts
        self.failures = list(failures)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes (errors cross processes)."""
        return (_rebuild, (type(self), self.args, self.__dict__))


class MixedSamples(RolloutsError):
    """`strict=True`, and the samples come from several providers or served models. They are stored, and in `.rollouts`.

    From `as_completed` it comes after the last answer, without `.rollouts`.
    """


class BudgetExceeded(RolloutsError):
    """`max_cost` or `max_total_tokens` admits nothing more; `.rollouts` has what was got."""


class OfflineMiss(RolloutsError):
    """Offline, and this sample is not in the cache."""


class CacheError(RolloutsError):
    """A storage cannot be read or written."""


class PluginError(RolloutsError):
    """A plugin is broken, missing, or claimed by two distributions."""


class RolloutsWarning(UserWarning):
    """Something works otherwise than the caller may think."""
