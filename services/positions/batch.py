"""What a phone sends, by HTTP or MQTT: a batch of positions as JSON."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from domain.positions import Fix

POSITIONS_MAX = 100


class Position(BaseModel):
    """Where a rider was."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    lat: float = Field(description="WGS-84 degrees; what is no place is dropped and counted.")
    lng: float
    at: AwareDatetime
    accuracy_m: float = Field(default=0.0, description="Radius in meters; 0: not known.")


class Positions(BaseModel):
    """A batch of positions; each is judged by itself, in the order of its time."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    positions: list[Position] = Field(min_length=1, max_length=POSITIONS_MAX)

    def fixes(self) -> list[Fix]:
        """As the rule wants them."""
        return [
            Fix(one.lat, one.lng, round(one.at.timestamp() * 1_000), one.accuracy_m)
            for one in self.positions
        ]
