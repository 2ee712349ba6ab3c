"""Logs of payments, SMS and WhatsApp."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0005"
down_revision = "0004"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

# Columns of a fixed size come first, then what every count looks at: a row is read up to the last column that is asked
# for, and without gaps it is a few bytes shorter.
TABLES = """
create table montoit.payment_logs (
    id uuid default gen_random_uuid() not null,
    user_id uuid,
    created_at timestamptz default now() not null,
    updated_at timestamptz default now() not null,
    amount integer not null,
    status_code integer,
    provider text default 'intouch' not null,
    status text default 'pending' not null,
    payment_method text not null,
    phone_number text,
    partner_transaction_id text not null,
    intouch_transaction_id text,
    status_message text,
    raw_response jsonb,
    raw_callback jsonb,
    constraint payment_logs_pkey primary key (id),
    constraint payment_logs_partner_transaction_id_key unique (partner_transaction_id),
    constraint payment_logs_amount_check check (amount > 0),
    constraint payment_logs_payment_method_check
        check (payment_method in ('orange_money', 'mtn_money', 'moov_money', 'wave')),
    constraint payment_logs_status_check
        check (status in ('pending', 'processing', 'success', 'failed', 'cancelled'))
);
comment on table montoit.payment_logs is 'Mobile-money payments asked of InTouch.';
comment on column montoit.payment_logs.amount is 'FCFA.';
comment on column montoit.payment_logs.phone_number is 'Payer''s number; null: not given.';
comment on column montoit.payment_logs.intouch_transaction_id is 'InTouch''s reference; null: none yet.';
comment on column montoit.payment_logs.raw_callback is 'InTouch''s call back; null: none yet.';

create table montoit.sms_logs (
    id uuid default gen_random_uuid() not null,
    user_id uuid,
    created_at timestamptz default now() not null,
    status_code integer,
    provider text default 'intouch' not null,
    status text default 'pending' not null,
    phone_number text not null,
    message text not null,
    type text default 'general' not null,
    partner_transaction_id text not null,
    intouch_sms_id text,
    status_message text,
    raw_response jsonb,
    constraint sms_logs_pkey primary key (id),
    constraint sms_logs_partner_transaction_id_key unique (partner_transaction_id),
    constraint sms_logs_status_check check (status in ('pending', 'sent', 'delivered', 'failed'))
);
comment on table montoit.sms_logs is 'SMS sent through InTouch.';
comment on column montoit.sms_logs.intouch_sms_id is 'InTouch''s reference; null: none yet.';

create table montoit.whatsapp_logs (
    id uuid default gen_random_uuid() not null,
    user_id uuid,
    created_at timestamptz default now() not null,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    updated_at timestamptz default now() not null,
    status_code integer,
    provider text default 'intouch' not null,
    status text default 'pending' not null,
    phone_number text not null,
    message text not null,
    type text default 'general' not null,
    partner_transaction_id text not null,
    intouch_message_id text,
    status_message text,
    raw_response jsonb,
    raw_callback jsonb,
    constraint whatsapp_logs_pkey primary key (id),
    constraint whatsapp_logs_partner_transaction_id_key unique (partner_transaction_id),
    constraint whatsapp_logs_status_check
        check (status in ('pending', 'sent', 'delivered', 'read', 'failed'))
);
comment on table montoit.whatsapp_logs is 'WhatsApp messages sent through InTouch.';
comment on column montoit.whatsapp_logs.intouch_message_id is 'InTouch''s reference; null: none yet.';
comment on column montoit.whatsapp_logs.raw_callback is 'InTouch''s call back; null: none yet.';
"""

TRIGGERS = """
create or replace trigger touch_updated_at before update on public.payment_logs
    for each row execute function montoit.touch_updated_at();
create or replace trigger touch_updated_at before update on public.whatsapp_logs
    for each row execute function montoit.touch_updated_at();
"""

# What the three have in common.
COMMENTS = """
comment on column montoit.{table}.user_id is 'Whom it concerns; null: nobody signed in.';
comment on column montoit.{table}.partner_transaction_id is 'Our own reference.';
comment on column montoit.{table}.status_code is 'InTouch''s code; null: no answer yet.';
comment on column montoit.{table}.status_message is 'InTouch''s words; null: no answer yet.';
comment on column montoit.{table}.raw_response is 'InTouch''s answer; null: none yet.';
"""

CLOSE = """
alter table public.{table} enable row level security;
revoke all on table public.{table} from public, anon, authenticated, service_role;
"""

LOGS = ("payment_logs", "sms_logs", "whatsapp_logs")


def upgrade() -> None:
    """Create the tables, and open what each role may see."""
    run(TABLES)
    for table in LOGS:
        run(COMMENTS.format(table=table))
    run("select montoit.settle('payment_logs', 'sms_logs', 'whatsapp_logs');")
    run(TRIGGERS)
    for table in LOGS:
        run(CLOSE.format(table=table))
    run_file("service_logs_policies_v01")
    run("select montoit.settled('payment_logs', 'sms_logs', 'whatsapp_logs');")


def downgrade() -> None:
    """Drop them, once nobody can write to them and they are empty."""
    run("lock table public.payment_logs, public.sms_logs, public.whatsapp_logs in access exclusive mode;")
    refuse_to_lose_rows()
    for table in reversed(LOGS):
        run(f"select montoit.give_back('{table}');")
