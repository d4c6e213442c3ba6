"""Who runs it: queues, workflows, activities, limits, entry points, the relay, the sweep."""
