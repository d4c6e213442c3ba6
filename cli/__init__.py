"""How a person drives Paotui: up, doctor, demo, simulate and the rest."""
