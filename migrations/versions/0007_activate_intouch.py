"""InTouch: six credentials, seven services.

Data only. Downgrading is the rollback: services off, credentials inactive, values kept.
"""

import json

from alembic import context, op

from migrations.statements import run
from montoit_db.errors import MontoitError
from montoit_db.settings import InTouchSettings

revision = "0007"
down_revision = "0006"

# What each credential is, and what needs it (source: InTouch's partner file).
CREDENTIALS = {
    "base_url": {"description": "URL de l'API InTouch", "required_for": ["payment", "sms", "whatsapp"]},
    "username": {"description": "Nom d'utilisateur InTouch", "required_for": ["payment", "sms", "whatsapp"]},
    "password": {"description": "Mot de passe InTouch", "required_for": ["payment", "sms", "whatsapp"]},
    "partner_id": {"description": "Identifiant partenaire", "required_for": ["payment", "sms", "whatsapp"]},
    "login_api": {"description": "Login API", "required_for": ["payment"]},
    "password_api": {"description": "Mot de passe API", "required_for": ["payment"]},
}

CREDENTIALS_TABLE = """
create temporary table intouch_credentials (
    key_name text not null,
    value_hex text not null,
    metadata jsonb not null
) on commit drop;
"""

# A first activation reaches everyone; a later one keeps each flag's share; an ordered share wins over both.
SWITCH_ON = """
insert into public.feature_flags as flag
    (key, name, category, is_enabled, requires_credentials, credentials_status, rollout_percentage, metadata)
select
    service.key, service.name, service.category, true, true,
    current_setting('montoit.environment'),
    coalesce(nullif(current_setting('montoit.rollout_percentage'), '')::integer, 100),
    service.metadata || jsonb_build_object('provider', 'intouch', 'activated_at', now())
from (values
    ('intouch_payment', 'Paiements InTouch', 'payment',
     '{"currency": "XOF", "min_amount": 100, "max_amount": 1000000, "commission_percent": 1}'::jsonb),
    ('orange_money', 'Orange Money', 'payment',
     '{"currency": "XOF", "min_amount": 100, "max_amount": 1000000, "commission_percent": 1}'::jsonb),
    ('mtn_money', 'MTN Money', 'payment',
     '{"currency": "XOF", "min_amount": 100, "max_amount": 1000000, "commission_percent": 1}'::jsonb),
    ('moov_money', 'Moov Money', 'payment',
     '{"currency": "XOF", "min_amount": 100, "max_amount": 1000000, "commission_percent": 1}'::jsonb),
    ('wave_payment', 'Wave', 'payment',
     '{"currency": "XOF", "min_amount": 100, "max_amount": 1000000, "commission_percent": 1}'::jsonb),
    ('sms_notifications', 'Notifications SMS', 'notification', '{"currency": "XOF", "cost_per_sms": 25}'::jsonb),
    ('whatsapp_notifications', 'Notifications WhatsApp', 'notification', '{}'::jsonb)
) as service (key, name, category, metadata)
on conflict (key) do update set
    is_enabled = true,
    requires_credentials = true,
    credentials_status = excluded.credentials_status,
    rollout_percentage = case
        when current_setting('montoit.rollout_percentage') = '' and flag.metadata ? 'activated_at'
            then flag.rollout_percentage
        else excluded.rollout_percentage
    end,
    metadata = flag.metadata || excluded.metadata;
"""

# Reads everything back: a trigger of somebody else may have had other plans.
VERIFY_ON = """
do $$
declare
    ordered_environment text := current_setting('montoit.environment');
    ordered_share text := current_setting('montoit.rollout_percentage');
    credentials integer;
    others integer;
    services integer;
begin
    select count(*) into credentials
    from pg_temp.intouch_credentials as given
    join public.api_keys as stored on stored.service_name = 'intouch' and stored.key_name = given.key_name
    where stored.environment = ordered_environment
      and stored.is_active
      and stored.key_value = convert_from(decode(given.value_hex, 'hex'), 'UTF8');

    select count(*) into others
    from public.api_keys
    where service_name = 'intouch' and environment <> ordered_environment and is_active;

    select count(*) into services
    from public.feature_flags
    where key in (
            'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
            'sms_notifications', 'whatsapp_notifications'
        )
      and is_enabled
      and credentials_status = ordered_environment
      and (ordered_share = '' or rollout_percentage::text = ordered_share);

    if (credentials, others, services) is distinct from (6, 0, 7) then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Activation annulée, rien n''a été modifié : après écriture la base montre %s/6 identifiants, '
                '%s d''un autre environnement encore actifs, et %s/7 services. Cherchez un déclencheur (trigger) '
                'ajouté à public.api_keys ou à public.feature_flags.',
                credentials, others, services
            );
    end if;
end;
$$;
"""

SWITCH_OFF = """
select set_config('montoit.reason', 'alembic downgrade 0007', true);

update public.feature_flags set is_enabled = false, credentials_status = 'not_configured'
where key in (
    'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
    'sms_notifications', 'whatsapp_notifications'
);

update public.api_keys set is_active = false where service_name = 'intouch' and is_active;

do $$
declare
    services integer;
    credentials integer;
begin
    select count(*) into services
    from public.feature_flags
    where key in (
            'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
            'sms_notifications', 'whatsapp_notifications'
        )
      and (is_enabled or credentials_status <> 'not_configured');
    select count(*) into credentials from public.api_keys where service_name = 'intouch' and is_active;
    if (services, credentials) is distinct from (0, 0) then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Retour arrière annulé, rien n''a été modifié : après écriture la base montre encore %s services '
                'et %s identifiants actifs. Cherchez un déclencheur (trigger) ajouté à public.api_keys ou à '
                'public.feature_flags.',
                services, credentials
            );
    end if;
end;
$$;
"""


def before_upgrade() -> None:
    """Refuse settings that cannot be used before any revision is applied."""
    if context.is_offline_mode():
        raise MontoitError("L'activation ne s'écrit pas encore en script : alembic upgrade 0006 --sql s'arrête avant.")
    InTouchSettings.from_environment()


def upgrade() -> None:
    """Store the credentials, switch the services on, and read both back."""
    order = InTouchSettings.from_environment()
    give_order(order)
    store_credentials(order)
    run(SWITCH_ON)
    run(VERIFY_ON)


def downgrade() -> None:
    """Switch the services off and deactivate the credentials; every value stays."""
    run(SWITCH_OFF)


def give_order(order: InTouchSettings) -> None:
    """Tell the transaction what was ordered; nothing of it is secret."""
    op.get_bind().exec_driver_sql(
        "select set_config('montoit.environment', %(environment)s, true),"
        " set_config('montoit.rollout_percentage', %(share)s, true),"
        " set_config('montoit.reason', %(reason)s, true)",
        {
            "environment": order.environment,
            "share": "" if order.rollout_percentage is None else str(order.rollout_percentage),
            "reason": f"alembic upgrade 0007 ({order.environment})",
        },
    )


def store_credentials(order: InTouchSettings) -> None:
    """Hand the values over by COPY, which no log shows, and have the server store them."""
    run(CREDENTIALS_TABLE)
    cursor = op.get_bind().connection.cursor()
    with cursor.copy("copy pg_temp.intouch_credentials (key_name, value_hex, metadata) from stdin") as copy:
        for key_name, metadata in CREDENTIALS.items():
            copy.write_row((key_name, order.credentials[key_name].encode().hex(), json.dumps(metadata)))
    op.get_bind().exec_driver_sql(
        "select montoit.store_credentials(%(environment)s, %(endpoint)s)",
        {"environment": order.environment, "endpoint": order.base_url},
    )
