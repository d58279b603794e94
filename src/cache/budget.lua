-- Spends from all buckets or from none (GCRA, as governor does it). Time is the server's own, so clocks do not matter.
-- KEYS: members, then for each bucket its level and its closing. ARGV: who asks, how long members are remembered (µs),
-- then for each bucket burst, period (µs), cost, 1 when a bucket that nobody knows is full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
local members = redis.call('ZCARD', KEYS[1])
local count = (#KEYS - 1) / 2
local levels, wait, lacking = {}, 0, 0
for at = 1, count do
    local burst, period, cost = tonumber(ARGV[4 * at - 1]), tonumber(ARGV[4 * at]), tonumber(ARGV[4 * at + 1])
    local level = tonumber(redis.call('GET', KEYS[2 * at]))
    if not level then
        level = now
        -- Others may just have emptied it, and Redis lost it: it begins empty.
        if ARGV[4 * at + 2] ~= '1' then
            level = now + burst * period
            redis.call('SET', KEYS[2 * at], string.format('%.0f', level), 'PX', 86400000)
        end
    end
    levels[at] = math.max(level, now) + cost * period
    local lack = levels[at] - burst * period - now
    local closed = tonumber(redis.call('GET', KEYS[2 * at + 1]))
    if closed then
        lack = math.max(lack, closed - now)
    end
    if lack > wait then
        wait, lacking = lack, at
    end
end
if wait > 0 then
    return { lacking, string.format('%.0f', wait), members }
end
for at = 1, count do
    redis.call('SET', KEYS[2 * at], string.format('%.0f', levels[at]), 'PX', 86400000)
end
return { 0, '0', members }
