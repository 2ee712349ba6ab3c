-- The stored credentials of a service with their values, from api_keys or from the Vault. Runs as the caller, who needs
-- rights on both.
create or replace function montoit.read_credentials(service text)
returns table (id uuid, key_name text, environment text, is_active boolean, secret_id uuid, value text)
language plpgsql
stable
set search_path = ''
as $$
begin
    if not montoit.has_vault() then
        return query
        select k.id, k.key_name, k.environment, k.is_active, k.secret_id, k.key_value
        from public.api_keys as k
        where k.service_name = service and k.key_name is not null;
    else
        return query
        select k.id, k.key_name, k.environment, k.is_active, k.secret_id, coalesce(k.key_value, s.decrypted_secret)
        from public.api_keys as k
        left join vault.decrypted_secrets as s on s.id = k.secret_id
        where k.service_name = service and k.key_name is not null;
    end if;
end;
$$;
