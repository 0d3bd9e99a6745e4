-- What every function needs.

-- Whether the generation of this store is the one that the caller believes in.
-- gen_key: the key that holds it; believed: its 16 bytes.
local function is_gen(gen_key, believed)
  return redis.call('HGET', gen_key, 'gen') == believed
end

-- Milliseconds since 1970 by this server's clock, unless a test says another time.
local function now_ms(said)
  if said ~= '' then return tonumber(said) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether one text of bytes comes before another. Lua's own comparison asks the locale.
local function is_before(one, other)
  local shorter = math.min(#one, #other)
  for at = 1, shorter do
    local a, b = one:byte(at), other:byte(at)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- Reads the generation, or begins a new one if this server is not the one that it was begun at:
-- what that one held may be lost.
-- KEYS: the generation's. ARGV: the server's run id, 16 new random bytes, the time or nothing.
local function generation(keys, args)
  local known = redis.call('HMGET', keys[1], 'gen', 'run_id', 'born_ms')
  if known[1] and known[2] == args[1] then return { known[1], tonumber(known[3]) } end
  local born = now_ms(args[3])
  redis.call('HSET', keys[1], 'gen', args[2], 'run_id', args[1], 'born_ms', born)
  return { args[2], born }
end

redis.register_function('hushwire1_generation', generation)

-- Says that a node is there, or that it is not any more.
-- KEYS: the nodes'. ARGV: the node, the time or nothing, how long it counts as there, 0 for no more.
-- All that are there.
redis.register_function {
  function_name = 'hushwire1_beat',
  callback = function(keys, args)
    local now = now_ms(args[2])
    redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now)
    if args[3] == '0' then
      redis.call('ZREM', keys[1], args[1])
    else
      redis.call('ZADD', keys[1], now + tonumber(args[3]), args[1])
      redis.call('PEXPIRE', keys[1], args[3])
    end
    return redis.call('ZRANGE', keys[1], 0, -1)
  end,
  flags = { 'allow-oom' },
}
