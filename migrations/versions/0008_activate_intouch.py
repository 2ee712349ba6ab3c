"""InTouch: six credentials, seven services.

Data only. Downgrading is the rollback: services off, credentials inactive, values kept.
"""

import json

from alembic import context, op

from montoit_db.deploy.statements import copy_values, refuse_missing_vault, run, with_reason
from montoit_db.settings import InTouchSettings, ordered_environment

revision = "0008"
down_revision = "0007"
branch_labels = ("intouch",)

# Each credential's description, and what stands for its value in a script until the operator fills it in (source: the
# operators' guide, which asks for all of them for every service).
DESCRIBED = {
    "base_url": ("URL de l'API InTouch", ""),
    "username": ("Nom d'utilisateur InTouch", "YOUR_INTOUCH_USERNAME"),
    "password": ("Mot de passe InTouch", "YOUR_INTOUCH_PASSWORD"),
    "partner_id": ("Identifiant partenaire", "YOUR_PARTNER_ID"),
    "login_api": ("Login API", "YOUR_LOGIN_API"),
    "password_api": ("Mot de passe API", "YOUR_PASSWORD_API"),
}
CREDENTIALS = {
    key_name: {"description": description, "required_for": ["payment", "sms", "whatsapp"]}
    for key_name, (description, _) in DESCRIBED.items()
}

# Each flag's name, category and metadata (source: the same guide; amounts in FCFA).
PAYMENT = {"currency": "XOF", "min_amount": 100, "max_amount": 1_000_000, "commission_percent": 1}
SERVICES = {
    "intouch_payment": ("Paiements InTouch", "payment", PAYMENT),
    "orange_money": ("Orange Money", "payment", PAYMENT),
    "mtn_money": ("MTN Money", "payment", PAYMENT),
    "moov_money": ("Moov Money", "payment", PAYMENT),
    "wave_payment": ("Wave", "payment", PAYMENT),
    "sms_notifications": ("Notifications SMS", "notification", {"currency": "XOF", "cost_per_sms": 25}),
    "whatsapp_notifications": ("Notifications WhatsApp", "notification", {}),
}


def text_array(names: list[str]) -> str:
    """Return an array of names in SQL; none of them holds a quote."""
    return "array[" + ", ".join(f"'{name}'" for name in names) + "]"


def rows_of_services() -> str:
    """Return the services as rows of a VALUES list."""
    return ",\n            ".join(
        f"('{key}', '{name}', '{category}', '{json.dumps(metadata)}'::jsonb)"
        for key, (name, category, metadata) in SERVICES.items()
    )


# The settings in a script (`--sql`): the operator fills them in at its top; `true` keeps them in the transaction. One
# statement without a column: psql would show a column's value on the screen.
VALUES = """
select from rows from (
    set_config('montoit.environment', '{environment}', true), -- production ou sandbox
    -- base_url : https://apidist.gutouch.net/apidist/sec/<agence>/ ; vide : celle de la base, sinon sans agence
{values}
    set_config('montoit.rollout_percentage', '', true), -- 0 à 100 ; vide : 100, ou la part précédente
    set_config('montoit.credential_store', 'auto', true) -- auto, table ou vault
);

-- Rien à modifier à partir d'ici.

do $$
declare
    environment text := current_setting('montoit.environment');
    share text := current_setting('montoit.rollout_percentage');
    store text := current_setting('montoit.credential_store');
    name text;
    value text;
    problems text[] := '{}';
    has_vault constant boolean := exists (
        select from pg_catalog.pg_extension
        join pg_catalog.pg_namespace on pg_namespace.oid = extnamespace
        join pg_catalog.pg_roles on pg_roles.oid = nspowner
        where extname = 'supabase_vault' and nspname = 'vault' and (
            rolsuper or nspowner = extowner
            or nspowner = (select datdba from pg_catalog.pg_database where datname = current_database())
        )
    );
begin
    perform set_config('montoit.reason', format('alembic upgrade head (%s)', environment) || '{reason}', true);
    if environment not in ('sandbox', 'production') then
        problems := problems || 'environment : sandbox ou production'::text;
    end if;
    if share !~ '^([0-9]{1,2}|100)?$' then
        problems := problems || 'rollout_percentage : un nombre entier de 0 à 100, ou vide'::text;
    end if;
    if store not in ('auto', 'table', 'vault') then
        problems := problems || 'credential_store : auto, table ou vault'::text;
    elsif store = 'vault' and not has_vault then
        problems := problems || 'credential_store : vault, mais cette base n''a pas de Vault'::text;
    end if;
    if current_setting('montoit.base_url') !~ '^(https://[A-Za-z0-9.-]+(:[0-9]+)?(/[!-~]*)?)?$'
        or current_setting('montoit.base_url') ~ '[?#@]' then
        problems := problems || 'base_url : attendu https://hôte'::text;
    end if;
    foreach name in array {secrets} loop
        value := current_setting('montoit.' || name);
        if value ~* '^YOUR[_-]' and has_vault then
            execute 'select decrypted_secret from vault.decrypted_secrets where name = $1'
                into value using format('intouch_%s_%s', environment, name);
            value := coalesce(value, 'YOUR_');
            value := set_config('montoit.' || name, value, true); -- by no query, whose parameters can be logged
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
""".replace("{secrets}", text_array([name for name in DESCRIBED if name != "base_url"])).replace(
    "{values}",
    "\n".join(f"    set_config('montoit.{key_name}', '{value}', true)," for key_name, (_, value) in DESCRIBED.items()),
)

STORE_VALUES = f"""
select montoit.store_credentials(
    current_setting('montoit.environment'), current_setting('montoit.credential_store'),
    '{json.dumps(CREDENTIALS).replace("'", "''")}'
);
"""
VERIFY_CREDENTIALS = f"""
select montoit.verify_credentials(current_setting('montoit.environment'), {text_array([*CREDENTIALS])});
"""

# A share that the settings name wins. Otherwise a flag that is on, or was activated before, keeps its share; any other
# flag gets 100 percent.
SWITCH_ON = (
    """
do $$
declare
    ordered_environment text := current_setting('montoit.environment');
    ordered jsonb;
    services integer;
    services_before integer;
begin
    select count(*) into services_before
    from public.feature_flags where is_enabled and key = any ({keys});

    select jsonb_agg(jsonb_build_object(
        'key', service.key,
        'name', service.name,
        'category', service.category,
        'share', coalesce(
            nullif(current_setting('montoit.rollout_percentage'), '')::integer,
            case when flag.is_enabled or flag.metadata ? 'activated_at' then flag.rollout_percentage end,
            100
        ),
        'metadata', service.metadata || jsonb_build_object('provider', 'intouch', 'activated_at', now())
    ))
    into ordered
    from (values
            {services}
    ) as service (key, name, category, metadata)
    left join public.feature_flags as flag on flag.key = service.key;

    -- Triggers of the platform name its tables without a schema: they find them under the path of other sessions.
    set local search_path to default;
    insert into public.feature_flags as flag
        (key, name, category, is_enabled, requires_credentials, credentials_status, rollout_percentage, metadata)
    select key, name, category, true, true, ordered_environment, share, metadata
    from jsonb_to_recordset(ordered)
        as service (key text, name text, category text, share integer, metadata jsonb)
    on conflict (key) do update set
        is_enabled = true,
        requires_credentials = true,
        credentials_status = excluded.credentials_status,
        rollout_percentage = excluded.rollout_percentage,
        metadata = flag.metadata || excluded.metadata;
    set constraints all immediate;
    set local search_path to '';

    -- Reads everything back: a trigger of somebody else may have had other plans.
    select count(*) into services
    from public.feature_flags as flag
    join jsonb_to_recordset(ordered) as service (key text, share integer, metadata jsonb) on service.key = flag.key
    where flag.is_enabled
      and flag.requires_credentials
      and flag.credentials_status = ordered_environment
      and flag.rollout_percentage = service.share
      and flag.metadata @> service.metadata;

    if services <> {count} then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Activation annulée : après écriture la base montre %s/{count} services comme demandé. '
                'Cherchez un déclencheur (trigger) ajouté à public.feature_flags.',
                services
            );
    end if;
    insert into montoit.trail (subject, key, before, after) values (
        'activation', 'intouch', jsonb_build_object('services', services_before),
        jsonb_build_object('services', services, 'environment', ordered_environment)
    );
end;
$$;
""".replace("{keys}", text_array([*SERVICES]))
    .replace("{services}", rows_of_services())
    .replace("{count}", str(len(SERVICES)))
)


def before_upgrade() -> None:
    """Refuse unusable settings before any revision is applied."""
    if context.is_offline_mode():
        reason = with_reason("").replace("'", "''")
        run(VALUES.replace("{environment}", ordered_environment() or "production").replace("{reason}", reason))
        return
    # Read once, since a secret may come from a pipe; a rehearsal brings settings of its own.
    settings = context.config.attributes.get("intouch_settings") or InTouchSettings.from_environment()
    refuse_missing_vault(context.get_bind(), settings)
    context.config.attributes["intouch_settings"] = settings


def upgrade() -> None:
    """Store the credentials, switch the services on, and read both back."""
    if context.is_offline_mode():
        run(STORE_VALUES)
    else:
        send(context.config.attributes["intouch_settings"])
    run(VERIFY_CREDENTIALS)
    run(SWITCH_ON)


def downgrade() -> None:
    """Switch the services off and deactivate the credentials; every value stays."""
    why = with_reason("alembic downgrade -1").replace("'", "''")
    run(f"select montoit.switch_off('{why}');")


def send(settings: InTouchSettings) -> None:
    """Give the six values to the server, which stores them."""
    op.get_bind().exec_driver_sql(
        "select set_config('montoit.environment', %(environment)s, true),"
        " set_config('montoit.rollout_percentage', %(share)s, true),"
        " set_config('montoit.reason', %(reason)s, true)",
        {
            "environment": settings.environment,
            "share": "" if settings.rollout_percentage is None else str(settings.rollout_percentage),
            "reason": with_reason(f"alembic upgrade head ({settings.environment})"),
        },
    )
    copy_values(op.get_bind(), {key_name: settings.to_store[key_name] for key_name in CREDENTIALS})
    op.get_bind().exec_driver_sql(
        "select montoit.store_credentials(%(environment)s, %(store)s, %(credentials)s)",
        {
            "environment": settings.environment,
            "store": settings.credential_store,
            "credentials": json.dumps(CREDENTIALS),
        },
    )
