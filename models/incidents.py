"""Says in a run's event log what somebody must see to: an account that was taken out of use."""

from core import logs
from core.events import EventLog
from models.calls import Call
from models.routing.deployment import Deployment
from models.routing.failures import Failure

_log = logs.get(__name__)

_ADVICE = {
    "auth": "Put a valid key where the models file says, then `factory models check`",
    "spent": "Top up the account, or take it out of its pools",
    "missing": "Correct the account's list of models",
}


class Incidents:
    """Tells of accounts that were taken out."""

    def __init__(self, events: EventLog | None) -> None:
        self._events = events

    async def tell(self, call: Call, deployment: Deployment, failure: Failure) -> None:
        """`account.excluded` in the log of the run whose call found it out, once a call and account."""
        payload = {
            "account": deployment.account.name,
            "provider": deployment.account.provider,
            "model": deployment.model,
            "why": failure.verdict,
            "error": failure.words,
            "todo": _ADVICE.get(failure.verdict, ""),
        }
        _log.error("account excluded", **payload)
        if self._events is not None:
            await self._events.append(
                call.run_id,
                "account.excluded",
                payload,
                team=call.team,
                key=f"{call.key}/excluded/{deployment.name}",
            )
