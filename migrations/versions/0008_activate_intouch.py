"""InTouch: six credentials, seven services.

Data only. Downgrading is the rollback: services off, credentials inactive, values kept.
"""

import json

import psycopg
import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.exc import DBAPIError

from montoit_db.deploy.statements import run
from montoit_db.errors import SettingsError
from montoit_db.settings import InTouchSettings

revision = "0008"
down_revision = "0007"

# What each credential is (source: the operators' guide, which asks for all of them for every service).
CREDENTIALS = {
    key_name: {"description": description, "required_for": ["payment", "sms", "whatsapp"]}
    for key_name, description in (
        ("base_url", "URL de l'API InTouch"),
        ("username", "Nom d'utilisateur InTouch"),
        ("password", "Mot de passe InTouch"),
        ("partner_id", "Identifiant partenaire"),
        ("login_api", "Login API"),
        ("password_api", "Mot de passe API"),
    )
}

# The same order, in a script: at its top the operator fills in the values; `true` keeps them in the transaction.
VALUES = """
select set_config('montoit.environment', 'production', true); -- production ou sandbox
select set_config('montoit.username', 'YOUR_INTOUCH_USERNAME', true);
select set_config('montoit.password', 'YOUR_INTOUCH_PASSWORD', true);
select set_config('montoit.partner_id', 'YOUR_PARTNER_ID', true);
select set_config('montoit.login_api', 'YOUR_LOGIN_API', true);
select set_config('montoit.password_api', 'YOUR_PASSWORD_API', true);
select set_config('montoit.base_url', 'https://apidist.gutouch.net', true);
select set_config('montoit.rollout_percentage', '', true); -- 0 à 100 ; vide : 100, ou la part précédente
select set_config('montoit.credential_store', 'auto', true); -- auto, table ou vault

-- Rien à modifier à partir d'ici.

do $$
declare
    environment text := current_setting('montoit.environment');
    share text := current_setting('montoit.rollout_percentage');
    store text := current_setting('montoit.credential_store');
    name text;
    value text;
    problems text[] := '{}';
begin
    perform set_config('montoit.reason', format('alembic upgrade 0008 (%s)', environment), true);
    if environment not in ('sandbox', 'production') then
        problems := problems || 'environment : sandbox ou production'::text;
    end if;
    if share !~ '^([0-9]{1,2}|100)?$' then
        problems := problems || 'rollout_percentage : un nombre entier de 0 à 100, ou vide'::text;
    end if;
    if store not in ('auto', 'table', 'vault') then
        problems := problems || 'credential_store : auto, table ou vault'::text;
    elsif store = 'vault' and to_regclass('vault.decrypted_secrets') is null then
        problems := problems || 'credential_store : vault, mais cette base n''a pas de Vault'::text;
    end if;
    if current_setting('montoit.base_url') !~ '^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[!-~]*)?$'
        or current_setting('montoit.base_url') ~ '[?#@]' then
        problems := problems || 'base_url : attendu https://hôte'::text;
    end if;
    foreach name in array array['username', 'password', 'partner_id', 'login_api', 'password_api'] loop
        value := current_setting('montoit.' || name);
        if value ~* '^YOUR[_-]' and to_regclass('vault.decrypted_secrets') is not null then
            execute 'select decrypted_secret from vault.decrypted_secrets where name = $1'
                into value using format('intouch_%s_%s', environment, name);
            value := coalesce(value, 'YOUR_');
            perform set_config('montoit.' || name, value, true);
        end if;
        if value ~* '^YOUR[_-]' then
            problems := problems || (name || ' : contient encore le texte à remplacer (YOUR_…)');
        elsif value = '' then
            problems := problems || (name || ' : vide');
        elsif value <> btrim(value) or value ~ '[\\x01-\\x1f\\x7f-\\x9f]' then
            problems := problems || (name || ' : espace au début ou à la fin, ou caractère de contrôle');
        elsif environment = 'production' and value in (
            'montoit_partner', 'P@ssw0rd123!', 'PART_12345', 'api_login_montoit', 'api_P@ss123!'
        ) then
            problems := problems || (name || ' : c''est la valeur d''exemple du guide');
        end if;
    end loop;
    if problems <> '{}' then
        raise exception using
            errcode = 'MT003',
            message = e'Valeurs refusées, rien n''a été modifié :\\n  - '
                || array_to_string(problems, e'\\n  - ');
    end if;
end;
$$;
"""

STORE_VALUES = f"""
select montoit.store_credentials(
    current_setting('montoit.environment'), current_setting('montoit.credential_store'),
    '{json.dumps(CREDENTIALS).replace("'", "''")}'
);
"""

# A first activation reaches everyone; a later one keeps each flag's share, and so does the first one where the flag is
# on already; an ordered share wins over both.
SWITCH_ON = """
do $$
declare
    ordered jsonb;
    services integer;
begin
    with orders as materialized (
        select
            service.key,
            service.name,
            service.category,
            coalesce(
                nullif(current_setting('montoit.rollout_percentage'), '')::integer,
                case when flag.is_enabled or flag.metadata ? 'activated_at' then flag.rollout_percentage end,
                100
            ) as share,
            service.metadata || jsonb_build_object('provider', 'intouch', 'activated_at', now()) as metadata
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
            ('sms_notifications', 'Notifications SMS', 'notification',
             '{"currency": "XOF", "cost_per_sms": 25}'::jsonb),
            ('whatsapp_notifications', 'Notifications WhatsApp', 'notification', '{}'::jsonb)
        ) as service (key, name, category, metadata)
        left join public.feature_flags as flag on flag.key = service.key
    ),
    written as (
        insert into public.feature_flags as flag
            (key, name, category, is_enabled, requires_credentials, credentials_status, rollout_percentage, metadata)
        select key, name, category, true, true, current_setting('montoit.environment'), share, metadata
        from orders
        on conflict (key) do update set
            is_enabled = true,
            requires_credentials = true,
            credentials_status = excluded.credentials_status,
            rollout_percentage = excluded.rollout_percentage,
            metadata = flag.metadata || excluded.metadata
    )
    select jsonb_object_agg(key, jsonb_build_array(share, metadata)) into ordered from orders;

    -- Reads everything back: a trigger of somebody else may have had other plans.
    select count(*) into services
    from public.feature_flags
    where is_enabled
      and requires_credentials
      and credentials_status = current_setting('montoit.environment')
      and rollout_percentage = (ordered -> key -> 0)::integer
      and metadata @> (ordered -> key -> 1);

    if services <> 7 then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Activation annulée, rien n''a été modifié : après écriture la base montre %s/7 services comme '
                'demandé. Cherchez un déclencheur (trigger) ajouté à public.feature_flags.',
                services
            );
    end if;
end;
$$;
"""

# Reads the credentials back, as the services above, and forgets them.
VERIFY_CREDENTIALS = """
do $$
declare
    ordered_environment text := current_setting('montoit.environment');
    ordered text[] := array['base_url', 'username', 'password', 'partner_id', 'login_api', 'password_api'];
    credentials integer;
    others integer;
begin
    select
        count(*) filter (
            where stored.environment = ordered_environment
              and stored.key_name = any (ordered)
              and stored.value <> ''
              and stored.value = current_setting('montoit.' || stored.key_name, true)
        ),
        count(*) filter (where stored.environment <> ordered_environment)
    into credentials, others
    from montoit.read_credentials('intouch') as stored
    where stored.is_active;

    if (credentials, others) is distinct from (6, 0) then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Activation annulée, rien n''a été modifié : après écriture la base montre %s/6 identifiants, et %s '
                'd''un autre environnement encore actifs. Cherchez un déclencheur (trigger) ajouté à public.api_keys.',
                credentials, others
            );
    end if;

    -- What runs from here on needs no value, least of all a trigger of somebody else.
    perform set_config('montoit.' || name, '', true) from unnest(ordered) as name;
end;
$$;
"""

SWITCH_OFF = """
select set_config('montoit.reason', 'alembic downgrade 0008', true);

update public.feature_flags set is_enabled = false, credentials_status = 'not_configured'
where key in (
    'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
    'sms_notifications', 'whatsapp_notifications'
);

select montoit.deactivate_credentials();

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
    select count(*) into credentials
    from public.api_keys where service_name = 'intouch' and key_name is not null and is_active;
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
        run(VALUES)
        return
    order = InTouchSettings.from_environment()
    check_store(context.get_bind(), order)
    context.config.attributes["order"] = order  # read once: a secret may come from a pipe


def upgrade() -> None:
    """Store the credentials, switch the services on, and read both back."""
    if context.is_offline_mode():
        run(STORE_VALUES)
        run(VERIFY_CREDENTIALS)
    else:
        store_credentials(op.get_bind(), context.config.attributes["order"])
    run(SWITCH_ON)


def downgrade() -> None:
    """Switch the services off and deactivate the credentials; every value stays."""
    run(SWITCH_OFF)


def check_store(connection: sa.Connection, order: InTouchSettings) -> None:
    """Refuse the Vault where there is none.

    Raises:
        SettingsError: `MONTOIT_CREDENTIAL_STORE` is `vault` and the database has no Vault.

    """
    if order.credential_store != "vault":
        return
    if connection.exec_driver_sql("select to_regclass('vault.decrypted_secrets')").scalar() is None:
        problem = "vault, mais cette base n'a pas de Vault. Installez l'extension supabase_vault, ou choisissez table"
        raise SettingsError([f"MONTOIT_CREDENTIAL_STORE : {problem}"])


def store_credentials(connection: sa.Connection, order: InTouchSettings) -> list[str]:
    """Store the six values, read them back, and return the names of those that changed.

    They go by COPY, which no log shows; binary, since an error would quote a line of text. The server does the rest.
    `montoit-db rotate` does the same.
    """
    connection.exec_driver_sql(
        "select set_config('montoit.environment', %(environment)s, true),"
        " set_config('montoit.rollout_percentage', %(share)s, true),"
        " set_config('montoit.reason', %(reason)s, true)",
        {
            "environment": order.environment,
            "share": "" if order.rollout_percentage is None else str(order.rollout_percentage),
            "reason": f"alembic upgrade 0008 ({order.environment})",
        },
    )
    statement = "copy montoit.given_credentials from stdin (format binary)"
    try:
        with connection.connection.cursor().copy(statement) as copy:
            copy.set_types(("text", "text"))
            for key_name in CREDENTIALS:
                copy.write_row((key_name, order.credentials[key_name]))
    except psycopg.Error as error:
        # As SQLAlchemy raises them, for whoever tries again; without the message, which may quote a row.
        withheld = type(error)(f"les identifiants n'ont pas été reçus (SQLSTATE {error.sqlstate or 'inconnu'})")
        raise DBAPIError.instance(statement, None, withheld, psycopg.Error) from None
    changed = connection.exec_driver_sql(
        "select montoit.store_credentials(%(environment)s, %(store)s, %(credentials)s)",
        {"environment": order.environment, "store": order.credential_store, "credentials": json.dumps(CREDENTIALS)},
    ).scalar_one()
    connection.exec_driver_sql(VERIFY_CREDENTIALS, execution_options={"no_parameters": True})
    return list(changed)
