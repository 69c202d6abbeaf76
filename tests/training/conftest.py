from tests.garbage import frameworks_stay

__all__ = ["frameworks_stay"]
