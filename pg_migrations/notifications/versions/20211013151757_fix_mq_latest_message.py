"""Append to the end of an ordered channel, not to its newest message.

Two ordered messages of one transaction share created_at, so "newest, then highest id" may name one that has
a follower already, and the next insert fails on the unique index. Now only a message without a follower is
taken. The new body is used from the next call on; a call that is running ends with the old one.

Undo: the body before. It holds no data.

Differs from the original: in nothing that can be seen.
"""

from alembic import op

revision = "20211013151757"
down_revision = "20210921115907"


def upgrade() -> None:
    op.execute("""
CREATE OR REPLACE FUNCTION mq_latest_message(from_channel_name TEXT, from_channel_args TEXT)
RETURNS UUID LANGUAGE sql STABLE AS $$
    SELECT COALESCE(
        (
            SELECT msgs.id
            FROM mq_msgs AS msgs
            WHERE msgs.channel_name = from_channel_name
              AND msgs.channel_args = from_channel_args
              AND msgs.after_message_id IS NOT NULL
              AND msgs.id <> '00000000-0000-0000-0000-000000000000'
              AND NOT EXISTS (SELECT FROM mq_msgs AS follower WHERE follower.after_message_id = msgs.id)
            ORDER BY msgs.created_at DESC
            LIMIT 1
        ),
        '00000000-0000-0000-0000-000000000000'
    )
$$
    """)


def downgrade() -> None:
    op.execute("""
CREATE OR REPLACE FUNCTION mq_latest_message(from_channel_name TEXT, from_channel_args TEXT)
RETURNS UUID LANGUAGE sql STABLE AS $$
    SELECT COALESCE(
        (
            SELECT id
            FROM mq_msgs
            WHERE channel_name = from_channel_name
              AND channel_args = from_channel_args
              AND after_message_id IS NOT NULL
              AND id <> '00000000-0000-0000-0000-000000000000'
            ORDER BY created_at DESC, id DESC
            LIMIT 1
        ),
        '00000000-0000-0000-0000-000000000000'
    )
$$
    """)
