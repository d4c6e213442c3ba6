"""What client, worker and replayer share: encryption, refusals, and how workflows are run."""

import dataclasses

from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)
from temporalio.plugin import SimplePlugin
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from workflows.kit.refuse import Refusals

PASSED_THROUGH = ("domain", "workflows.kit")
"""Never `workflows` itself: that would switch the workflow sandbox's protection off."""


def converter(codec: PayloadCodec) -> DataConverter:
    """Default payloads, encrypted; failures' messages and stack traces encrypted with them."""
    return dataclasses.replace(
        DataConverter.default,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def runner(*, sandboxed: bool) -> WorkflowRunner:
    """Temporal's workflow sandbox in its strictest mode, or none (half the CPU)."""
    if not sandboxed:
        return UnsandboxedWorkflowRunner()
    policy = (
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            *PASSED_THROUGH
        ).with_import_notification_policy(policy)
    )


def plugin(codec: PayloadCodec, *, sandboxed: bool) -> SimplePlugin:
    """The plugin to give to a client (its workers inherit it) or to a replayer."""
    return SimplePlugin(
        "paotui",
        data_converter=converter(codec),
        interceptors=[Refusals()],
        workflow_runner=runner(sandboxed=sandboxed),
    )
