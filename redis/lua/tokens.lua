-- A device's tokens, by their hashes, each with the time when it ends.

-- KEYS: the device's `meta` and `tokens`. ARGV: the hash, how long it lasts, how many a device has,
-- the time or nothing. 1 if it was put; 0 for a device that was revoked.
local function put_token(keys, args)
  if redis.call('HEXISTS', keys[1], 'revoked') == 1 then return 0 end
  local now = now_ms(args[4])
  redis.call('ZREMRANGEBYSCORE', keys[2], '-inf', now)
  redis.call('ZADD', keys[2], now + tonumber(args[2]), args[1])
  -- The oldest go for the newest.
  local over = redis.call('ZCARD', keys[2]) - tonumber(args[3])
  if over > 0 then redis.call('ZREMRANGEBYRANK', keys[2], 0, over - 1) end
  redis.call('PEXPIRE', keys[2], args[2])
  return 1
end

-- What has to be kept when Redis has no memory left for messages, too: without signing in nobody
-- makes room.
redis.register_function {
  function_name = 'hushwire1_put_token',
  callback = put_token,
  flags = { 'allow-oom' },
}

-- KEYS: the key. ARGV: the value, how long it lasts. 1 unless there is one.
redis.register_function {
  function_name = 'hushwire1_keep',
  callback = function(keys, args)
    return redis.call('SET', keys[1], args[1], 'NX', 'PX', args[2]) and 1 or 0
  end,
  flags = { 'allow-oom' },
}

-- KEYS: the device's `tokens`. ARGV: the hash, the time or nothing.
redis.register_function {
  function_name = 'hushwire1_check_token',
  callback = function(keys, args)
    local ends = redis.call('ZSCORE', keys[1], args[1])
    return ends and tonumber(ends) > now_ms(args[2]) and 1 or 0
  end,
  flags = { 'no-writes' },
}
