"""The embedded stack: a real Temporal server, a worker and a gateway as children of one light process.

Nothing here imports temporalio, fastapi or sqlalchemy: the supervisor only starts and watches.
"""
