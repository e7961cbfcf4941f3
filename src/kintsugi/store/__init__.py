"""Everything that is kept: PostgreSQL, built in or a company's own."""

from kintsugi.store.postgres import PostgresStores, open_stores

__all__ = ["PostgresStores", "open_stores"]
