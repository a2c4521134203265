"""What every table is made of."""

from typing import Final

from sqlalchemy import BigInteger, Column, Identity, MetaData, Text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def number(name: str, comment: str = "", *, key: bool = False) -> "Column[int]":
    return Column(
        name, BigInteger, primary_key=key, autoincrement=False, nullable=False, comment=comment or None
    )


def text(name: str, comment: str = "", *, key: bool = False) -> "Column[str]":
    return Column(name, Text, primary_key=key, nullable=False, comment=comment or None)


def counted(comment: str, *, key: bool = False) -> "Column[int]":
    """The place in an order that the database counts."""
    return Column(
        "number", BigInteger, Identity(always=True), primary_key=key, nullable=False, comment=comment
    )
