# SPDX-License-Identifier: Apache-2.0
"""The guard: what every call passes before a servicer sees it, and when it ends.

In this order: trace context, the program, drain, limit of calls, the person's login,
deadline, the first request's resource, the approval, the access decision, the audit
entry; then the servicer; then the outcome's entry, the span, the log line and the
status. Every kind of method is served as a stream of raw requests, since only so does
a caller that opens a call and sends nothing meet a time limit, and a request that
does not decode an audit entry.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, cast

import grpc
from google.protobuf.message import Message
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from strongroom.errors import CancelledError, StrongroomError
from strongroom_server.core.audit import Phase
from strongroom_server.core.records import ApprovedBy, Caller
from strongroom_server.ports import (
    ApprovalBook,
    Authorizer,
    Clock,
    Entropy,
    TokenVerifier,
)
from strongroom_server.rpc import failures
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.approving import Approvals
from strongroom_server.rpc.call import Call, CallView, enter_call
from strongroom_server.rpc.call_audit import CallAudit
from strongroom_server.rpc.decisions import Decisions
from strongroom_server.rpc.identity import IdentityRules, check_revoked, identify
from strongroom_server.rpc.limits import GuardLimits
from strongroom_server.rpc.logins import Logins
from strongroom_server.rpc.methods import METHODS, Method, Phases, TimeClass
from strongroom_server.rpc.readers import Readers
from strongroom_server.rpc.request_facts import request_facts
from strongroom_server.rpc.requests import Decode, RequestReader, decode_request
from strongroom_server.rpc.responding import Handler, respond, with_frames
from strongroom_server.rpc.reviews import Reviews
from strongroom_server.rpc.status import call_metadata, to_status
from strongroom_server.rpc.targets import Target
from strongroom_server.rpc.watchdog import Watch, Watchdog
from strongroom_server.rpc.wire import BATCHES, FLAT

#: A method's name is the caller's text; entries of the audit log are bounded.
MAX_METHOD_CHARS: Final = 200
TRACEPARENT: Final = "traceparent"

_TRACER: Final = trace.get_tracer("strongroom_server.rpc")
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Guard:
    """What is put before every method; see the module. Used by many threads."""

    def __init__(
        self,
        *,
        rules: IdentityRules,
        authorizer: Authorizer,
        audit: CallAudit,
        watchdog: Watchdog,
        reviews: Reviews,
        limits: GuardLimits,
        clock: Clock,
        entropy: Entropy,
        tokens: TokenVerifier | None = None,
        approvals: ApprovalBook | None = None,
        alive: Callable[[str], None] = lambda _: None,
        readers: Readers | None = None,
    ) -> None:
        """`alive` raises if what a resource is of was shredded while a stream ran.

        `readers` is told which calls read; unless given, by a guard of its own.
        """
        self._rules = rules
        self._alive = alive
        self._readers = readers or Readers(clock)
        self._logins = Logins(tokens, rules, clock)
        self._decisions = Decisions(authorizer, clock)
        self._approvals = Approvals(approvals)
        self._audit = audit
        self._watchdog = watchdog
        self._reviews = reviews
        self._limits = limits
        self._clock = clock
        self._entropy = entropy
        # Unlike all others', and no system call, at which another thread would run.
        self._call_ids = entropy.token_bytes(8).hex()
        self._call_numbers = count()
        self._admission = Admission(
            limits.max_calls, limits.max_own_calls, limits.max_watches
        )

    def drain(self) -> None:
        """Refuse new calls; those that run go on."""
        self._admission.drain()

    def guard(self, name: str, handler: "Handler | None") -> Handler:
        """Put the guard before a method's handler, or in place of a missing one.

        Args:
            name: The method's, as callers spell it: with its service.
            handler: What answers its requests; None if nothing does.
        """
        guarded = _Guarded(name[:MAX_METHOD_CHARS], METHODS.get(name), handler)
        if handler is None or handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                partial(self._serve, guarded),
                response_serializer=with_frames(handler) if handler else None,
            )
        return grpc.stream_unary_rpc_method_handler(
            partial(self._serve_one, guarded),
            response_serializer=handler.response_serializer,
        )

    def _serve_one(
        self,
        guarded: "_Guarded",
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> object:
        # The whole iterator ends, and with it the outcome's entry is durable,
        # before the answer goes out.
        (response,) = self._serve(guarded, requests, context)
        return response

    def _serve(
        self,
        guarded: "_Guarded",
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> Iterator[object]:
        call, span = self._begin(guarded, context)
        failure: StrongroomError | None = None
        seconds = self._limits.seconds(guarded.time_class)
        deadline_s = call.started_s + min(seconds, context.time_remaining())
        with self._watchdog.watch(context.cancel, deadline_s=deadline_s) as watch:
            try:
                run = _Run(call, guarded, requests, context, watch, deadline_s)
                yield from self._run(run)
            except GeneratorExit:
                # gRPC dropped the stream: nobody is left to be told.
                self._end(call, span, failures.gave_up(watch, context))
                raise
            except Exception as error:  # noqa: BLE001 (every error becomes a status)
                failure = self._translate(call, error, watch, context)
        failure = self._end(call, span, failure)
        if failure is not None:
            context.abort_with_status(
                to_status(failure, trace_id=call.trace_id, audit_id=call.audit_id)
            )
        context.set_trailing_metadata(call_metadata(call.trace_id, call.audit_id))

    def _begin(
        self, guarded: "_Guarded", context: grpc.ServicerContext
    ) -> tuple[Call, trace.Span]:
        # Nothing else of the caller's: what is no trace state would be logged.
        carrier = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if key == TRACEPARENT and isinstance(value, str)
        }
        parent = _PROPAGATOR.extract(carrier) if carrier else Context()
        name = guarded.name.removeprefix("/") if guarded.method else "_OTHER"
        span = _TRACER.start_span(
            name,
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": name},
        )
        # gRPC runs each call in a context of its own; nothing is to be detached.
        otel_context.attach(trace.set_span_in_context(span, parent))
        span_context = span.get_span_context()
        trace_id = (
            trace.format_trace_id(span_context.trace_id)
            if span_context.is_valid
            else self._entropy.token_bytes(16).hex()
        )
        call = Call(
            method=guarded.name,
            action=guarded.method.action if guarded.method else "",
            call_id=f"{self._call_ids}{next(self._call_numbers):016x}",
            trace_id=trace_id,
            started_s=self._clock.monotonic(),
        )
        return call, span

    def _run(self, run: "_Run") -> Iterator[object]:
        call = run.call
        with ExitStack() as stack:
            # The stubs say bytes; gRPC gives a list of bytes for each key.
            facts = cast("Mapping[str, Sequence[bytes]]", run.context.auth_context())
            call.peer = identify(facts, self._rules, now=self._clock.now())
            # A login may take time; it is that of the program's own calls.
            stack.enter_context(
                self._admission.inside(call.peer.principal, watches=run.guarded.watches)
            )
            call.peer = self._logins.enter(call.peer, run.metadata)
            if call.peer.operator is not None:
                stack.enter_context(self._admission.counting(call.peer.principal))
            self._check_deadline(run)
            method, handler = _known(run.guarded)
            first, rest, data = self._receive(run, handler, stack)
            call.asked = request_facts(first, self._clock.now())
            targets = method.targets(first)
            self._audit.name_targets(call, targets)
            call.approved = self._approvals.check(
                run.metadata,
                method=method.name,
                request=data,
                requester=call.peer.principal,
                before=partial(self._decisions.foresee, call, method, targets),
            )
            require = partial(
                self._decisions.require,
                call,
                method,
                targets,
                approvable=data is not None,
            )
            require()
            # Not of the very call that shreds it, which is no stream.
            held = targets if method.time_class is TimeClass.STREAM else ()
            stack.enter_context(
                self._reviews.reviewing(
                    run.watch, partial(self._look_again, call, held, require)
                )
            )
            if method.phases is Phases.INTENT_OUTCOME:
                self._audit.append(call, Phase.INTENT, None)
            use = stack.enter_context(self._approvals.using(call.approved))
            stack.enter_context(self._readers.reading(call, method, targets))
            enter_call(self._view(run))
            responses = respond(
                handler, first, rest, run.context, partial(self._check_deadline, run)
            )
            stack.callback(responses.close)
            for response in responses:
                use.answer()
                run.watch.wait_for_peer()
                yield response
                run.watch.go_on()

    def _check_deadline(self, run: "_Run") -> None:
        if run.watch.refusal is not None:
            raise run.watch.refusal
        if self._clock.monotonic() >= run.deadline_s:
            raise failures.too_late()

    def _receive(
        self,
        run: "_Run",
        handler: Handler,
        stack: ExitStack,
    ) -> tuple[Message, RequestReader | None, bytes | None]:
        """Return the first request, the others if there may be any, else its bytes."""
        # Generated handlers decode with `SomeMessage.FromString`.
        decode = cast("Decode", handler.request_deserializer)
        if handler.request_streaming:
            method = run.guarded.method
            reader = RequestReader(
                run.requests,
                decode,
                stall_s=self._watchdog.stall_s,
                depth=method.depth if method else BATCHES,
            )
            stack.callback(reader.close)
            first = next(reader, None)
            if not isinstance(first, Message):
                raise failures.no_request()
            return first, reader, None
        run.watch.wait_for_peer()
        data = next(run.requests, None)
        run.watch.go_on()
        if run.watch.verdict is not None:
            # A call that was cancelled may look like one that ended.
            raise failures.gave_up(run.watch, run.context)
        if data is None:
            raise failures.no_request()
        depth = run.guarded.method.unary_depth if run.guarded.method else FLAT
        return decode_request(decode, data, depth=depth), None, data

    def _look_again(
        self, call: Call, held: tuple[Target, ...], require: Callable[[], None]
    ) -> None:
        check_revoked(call.peer, self._rules)
        for target in held:
            self._alive(target.resource)
        require()

    def _check_awaited(self, run: "_Run") -> None:
        self._check_deadline(run)
        if not run.context.is_active():
            raise failures.gave_up(run.watch, run.context)

    def _view(self, run: "_Run") -> CallView:
        call, principal = run.call, run.call.peer.principal

        def add(key: str, number: int) -> None:
            call.detail[key] = call.detail.get(key, 0) + number

        approved = call.approved
        others = (
            ApprovedBy(approved.approval_id, approved.approvers) if (approved) else None
        )
        return CallView(
            caller=Caller(principal, call.trace_id, call.audit_id, others),
            peer=call.peer,
            approved=call.approved,
            may=lambda action, on: self._decisions.ask(call, action, on).allowed,
            might=partial(self._decisions.might, call),
            needed=partial(self._decisions.needed, call),
            count=add,
            note=call.notes.__setitem__,
            check=partial(self._check_awaited, run),
            readers=self._readers.of,
        )

    def _end(
        self, call: Call, span: trace.Span, failure: StrongroomError | None
    ) -> StrongroomError | None:
        phase = Phase.OUTCOME if call.audit_id else Phase.CALL
        try:
            self._audit.append(call, phase, failure)
        except Exception as error:  # noqa: BLE001 (every error becomes a status)
            failure = self._to_failure(call, error)
        self._audit.describe(call, span, failure)
        span.end()
        return failure

    def _translate(
        self,
        call: Call,
        error: Exception,
        watch: Watch,
        context: grpc.ServicerContext,
    ) -> StrongroomError:
        # A call that was cut off may look to its servicer like one that ended.
        was_cut_off = watch.refusal is not None or watch.verdict is not None
        if was_cut_off or isinstance(error, grpc.RpcError | CancelledError):
            return failures.gave_up(watch, context)
        return self._to_failure(call, error)

    def _to_failure(self, call: Call, error: Exception) -> StrongroomError:
        if isinstance(error, StrongroomError):
            return error
        self._audit.describe_bug(call, error)
        return failures.bug(call.trace_id)


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A method as it was asked for; a row and a handler, if it exists."""

    name: str
    method: Method | None
    handler: "Handler | None"

    @property
    def time_class(self) -> TimeClass:
        return self.method.time_class if self.method else TimeClass.SHORT

    @property
    def watches(self) -> bool:
        return self.time_class is TimeClass.WATCH


@dataclass(slots=True)
class _Run:
    """What one run of a method needs; nobody changes it."""

    call: Call
    guarded: _Guarded
    requests: Iterator[bytes]
    context: grpc.ServicerContext
    watch: Watch
    deadline_s: float

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What the caller sent beside its requests."""
        return tuple(self.context.invocation_metadata() or ())


def _known(guarded: _Guarded) -> tuple[Method, Handler]:
    if guarded.method is None or guarded.handler is None:
        raise failures.unknown_method(guarded.name)
    return guarded.method, guarded.handler
