-- Reads InTouch's credentials back after they were stored: `names` have to be active in the ordered environment, each with
-- the value in the transaction's setting montoit.<name>, and none may be active in the other environment. Then empties
-- these settings: nothing that runs later needs them, and a trigger of somebody else could read them.
create or replace function montoit.verify_credentials(ordered_environment text, names text[])
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
    credentials integer;
    others integer;
begin
    select
        count(*) filter (
            where stored.environment = ordered_environment
              and stored.key_name = any (names)
              and stored.value <> ''
              and stored.value = current_setting('montoit.' || stored.key_name, true)
        ),
        count(*) filter (where stored.environment <> ordered_environment)
    into credentials, others
    from montoit.read_credentials('intouch') as stored
    where stored.is_active;

    if (credentials, others) is distinct from (cardinality(names), 0) then
        raise exception using
            errcode = 'MT002',
            message = format(
                'Enregistrement annulé : après écriture la base montre %s/%s identifiants, et %s d''un autre '
                'environnement encore actifs. Cherchez un déclencheur (trigger) ajouté à public.api_keys.',
                credentials, cardinality(names), others
            );
    end if;

    perform set_config('montoit.' || name, '', true) from unnest(names) as name;
end;
$$;
