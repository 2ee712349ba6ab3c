-- The look before the first write.
do $$
declare
    names constant text[] := array[
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
        'payment_logs', 'sms_logs', 'whatsapp_logs'
    ];
    adopted constant text[] := '{}';
    is_later constant boolean := false;
    told text;
begin
    -- include platform/refuse_tables
end;
$$;
