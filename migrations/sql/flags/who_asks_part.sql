-- Who may ask for whom: decided here, since what follows sees every flag and override. The signed-in user is that of
-- montoit.current_user_id(), spelt out: a call would be a tenth of a check.
if caller = 'authenticated' then
    begin
        me := (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
    exception
        when data_exception then
            null;
    end;
    if asked_user is distinct from me then
        if asked_user is null then
            asked_user := me;
        elsif not montoit.is_admin() then
            raise exception using
                errcode = 'insufficient_privilege',
                message = 'feature flags of another user';
        end if;
    end if;
elsif caller = 'anon' then
    asked_user := null;
end if;
