"""What crosses between workflows and activities: each activity's wire name, input and output."""
