"""All settings, in one place: environment variables `PAOTUI_…`, or the running stack's file."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.refund_rules import AUTO_APPROVE_FEN
from domain.riding import PHOTO_DAYS

STACK_FILE = "run/stack.env"
"""Written by `paotui up` inside the state folder: where the running parts are."""


class Settings(BaseSettings):
    """What a process needs to know of its surroundings; every field is `PAOTUI_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="PAOTUI_", extra="ignore", frozen=True, validate_default=True
    )

    home: Path = Field(
        default=Path(".paotui"), description="State folder, ignored by git; made absolute."
    )
    database_url: str = Field(
        default="", description="PostgreSQL ≥ 15, `postgresql://…`; empty: embedded."
    )
    redis_url: str = Field(default="", description="Redis protocol, `redis://…`; empty: embedded.")
    mqtt_url: str = Field(
        default="",
        description="MQTT 5 broker of riders' positions, `mqtt[s]://user:password@host:port`; "
        "empty: embedded where there is a mosquitto, else positions come by HTTP only.",
    )
    mqtt_socket: str = Field(
        default="", description="Private socket of the embedded broker, behind our own door."
    )
    mosquitto: str = Field(
        default="mosquitto", description="The broker to embed, a name or path; empty: none."
    )
    out_stream_messages: int = Field(
        default=100_000,
        ge=0,
        description="Public events kept in the Redis stream `paotui:out:events`; 0: no stream.",
    )
    kafka_brokers: str = Field(
        default="", description="Kafka `host:port`, comma separated; empty: no Kafka."
    )
    kafka_topic: str = Field(
        default="paotui.order-events", description="Topic of public events; key: the order's id."
    )
    temporal_address: str = Field(default="", description="Temporal `host:port`; empty: embedded.")
    temporal_namespace: str = Field(default="default", description="Temporal namespace.")
    temporal_api_key: SecretStr = Field(default=SecretStr(""), description="Temporal Cloud key.")
    temporal_tls: bool = Field(default=False, description="Speak TLS to Temporal.")
    temporal_binary: str = Field(default="", description="Path of a `temporal` binary to use.")
    temporal_ui_url: str = Field(default="", description="Where people open the Temporal UI.")
    temporal_ui_origins: str = Field(
        default="", description="Origins (comma separated) that may call the codec endpoint."
    )
    api_url: str = Field(default="", description="The API's own address on this machine.")
    api_host: str = Field(
        default="127.0.0.1",
        description="Address the API listens on; TLS and the world are a proxy's business.",
    )
    api_port: int = Field(default=8700, description="HTTP port of the API.")
    api_live: bool = Field(
        default=True,
        description="Serve live connections in the API too; off where a proxy leads them to hubs.",
    )
    live_host: str = Field(default="127.0.0.1", description="Address a live hub listens on.")
    live_port: int = Field(default=8720, description="HTTP and WebSocket port of a live hub.")
    live_ways: str = Field(
        default="websocket,sse,long_poll,poll",
        description="Ways to follow orders that are offered; polls always are.",
    )
    live_url: str = Field(default="", description="The live hub's own address on this machine.")
    api_tls_port: int = Field(default=8743, description="HTTPS port for gateway notices.")
    tls_certificate: str = Field(default="", description="PEM for the HTTPS port; empty: none.")
    tls_key: str = Field(default="", description="PEM key for the HTTPS port.")
    public_url: str = Field(
        default="https://pay.paotui.example",
        description="Where gateways send notices: https, a public name, no query.",
    )
    sandbox_url: str = Field(
        default="", description="Control interface of the sandbox; empty: embedded."
    )
    gateway_proxy: str = Field(
        default="",
        description="CONNECT proxy towards payment gateways (the sandbox's, or yours); "
        "set, even to nothing: the real gateways, no sandbox.",
    )
    gateway_ca: str = Field(default="", description="CA file trusted for gateways; empty: system.")
    codec_open: bool = Field(
        default=False, description="Let loopback read payloads at /codec with no token."
    )
    token_key: SecretStr = Field(default=SecretStr(""), description="Signs bearer tokens.")
    payload_key: SecretStr = Field(
        default=SecretStr(""), description="Encrypts Temporal payloads: base64 of 32 bytes."
    )
    personal_key: SecretStr = Field(
        default=SecretStr(""), description="Wraps subjects' keys: base64 of 32 bytes."
    )
    workflow_sandbox: bool = Field(
        default=True, description="Run workflows in Temporal's sandbox (off saves half the CPU)."
    )
    metrics_port: int = Field(
        default=0, description="Loopback port of this process's /metrics; 0: none."
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=5,
        description="Proxies before the API that append to X-Forwarded-For; 0: never believed.",
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    rate_limit: str = Field(
        default="600/minute", description="Requests per token or address and minute at the API."
    )
    approval_limit_fen: int = Field(
        default=20_000,
        description="Support's refunds and gifts above this need a second person, fen.",
    )
    gift_supporter_day_fen: int = Field(
        default=50_000,
        description="What one of support gives in a day; above it a second person, fen.",
    )
    gift_customer_day_fen: int = Field(
        default=20_000,
        description="What one customer is given in a day; above it a second person, fen.",
    )
    after_sale_auto_fen: int = Field(
        default=AUTO_APPROVE_FEN,
        description="A merchant's silence agrees to after-sale refunds up to this, fen.",
    )
    trace_days: int = Field(
        default=30,
        ge=0,
        le=365,
        description="How long the coarse trace of a carried order is kept; 0: none is written.",
    )
    photo_days: int = Field(
        default=PHOTO_DAYS,
        ge=1,
        le=365,
        description="How long after an order's end the photos of its hand-over are kept; "
        "a dispute keeps them while it lasts.",
    )

    weather: Literal["", "open-meteo"] = Field(
        default="",
        description="Who tells the weather of shops; empty: the sandbox where there is one, "
        "else nobody.",
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def stack_file(self) -> Path:
        """Where the running stack writes its addresses and keys."""
        return self.home / STACK_FILE

    @property
    def eta_models(self) -> Path:
        """Where trained models of delivery times lie, each in a folder of its version's name."""
        return self.home / "eta"

    @property
    def sandboxed(self) -> bool:
        """Whether gateways are the embedded sandbox: nobody named another place for them."""
        return not self.sandbox_url and "gateway_proxy" not in self.model_fields_set


def configured() -> Settings:
    """What the environment alone says: what `paotui up` obeys, whatever ran before."""
    return Settings()


def of_stack(home: Path) -> Settings:
    """The environment first, then the file of the stack that lives in `home`."""
    return Settings(home=home, _env_file=home / STACK_FILE)  # type: ignore[call-arg]


@cache
def settings() -> Settings:
    """The settings of this process: environment first, then the running stack's file."""
    return of_stack(configured().home)
