"""The store on disk: records, events, progress, idempotency keys, and leases on each of them.

The store is the single source of truth; Redis only carries the queue and live events.
"""
