"""Studies behind Optuna's gRPC proxy: many workers, few connections to the database."""

from __future__ import annotations

import re
import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.storages import GrpcStorageProxy

from hptoolkit.errors import StorageError, UserError, command, first_line
from hptoolkit.storage.retry import PATIENCE, patient

SCHEME = "grpc://"
DEFAULT_PORT = 13000

_CONNECT_TIMEOUT = 10.0

_OPERATIONS = (
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr",
    "get_study_id_from_name", "get_study_name_from_id", "get_study_directions",
    "get_study_user_attrs", "get_study_system_attrs", "get_all_studies", "create_new_trial",
    "set_trial_param", "set_trial_state_values", "set_trial_intermediate_value",
    "set_trial_user_attr", "set_trial_system_attr", "get_trial_id_from_study_id_trial_number",
    "get_trial", "get_all_trials",
)  # fmt: skip


class Proxied(GrpcStorageProxy):
    """The storage at grpc://HOST[:PORT], which `python -m hptoolkit.proxy` serves.

    Operations are tried again for `patience` seconds while the proxy cannot be reached, as those of
    `hptoolkit.storage.rdb.Database` are.

    Raises:
        UserError: The address is no host and port, grpcio is missing, or nobody answers there.
    """

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.shown = address
        self.patience = patience
        self.complained = False
        self.given_up = False
        host, port = host_and_port(address)
        require_grpc()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(host=host, port=port)
        try:
            self.wait_server_ready(timeout=_CONNECT_TIMEOUT)
        except ConnectionError:
            self.close()
            raise UserError(
                f"No storage proxy answers at {address}: start one there by "
                f"{command('proxy', '--storage', 'URL', '--port', str(port))}."
            ) from None

    def is_transient(self, error: BaseException) -> bool:
        """Whether an error is the lack of a connection. Raises StorageError for the database's."""
        import grpc

        if not isinstance(error, grpc.RpcError):
            return False
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return True
        reason = str(error.details()).removeprefix("Exception calling application: ")
        reason = first_line(reason)
        raise StorageError(
            f"The proxy {self.shown} cannot use its storage ({reason}). "
            "Nothing that has finished is lost: mend that and run the same command again."
        ) from None


patient(Proxied, _OPERATIONS)


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of grpc://HOST[:PORT]. Raises UserError if it is something else."""
    match = re.fullmatch(r"grpc://(\[[^\]/@]+\]|[^:/@\[\]]+)(?::(\d{1,5}))?/?", address)
    if match is None or not 0 < int(match[2] or DEFAULT_PORT) < 1 << 16:
        raise UserError(
            f"The storage {address.rpartition('@')[2]} is no address of a storage proxy: expected "
            f"grpc://HOST:PORT, such as grpc://127.0.0.1:{DEFAULT_PORT}."
        )
    return match[1], int(match[2] or DEFAULT_PORT)


def require_grpc() -> None:
    """Raise UserError if gRPC is not installed."""
    try:
        __import__("google.protobuf")
        __import__("grpc")
    except ImportError as error:
        raise UserError(
            f"A storage proxy needs gRPC, which cannot be imported ({error}): install it by "
            "pip install 'hptoolkit[grpc]'."
        ) from None
