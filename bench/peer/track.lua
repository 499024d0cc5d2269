-- The endpoint as one would write it with lua-nginx-module, lua-cjson and
-- lua-nginx-kafka: each event is looked up, its fields are checked, what the
-- edge knows is added, and it goes to Kafka under its session.  Less is done than
-- ours does: no duplicate keys, no exact integers, no context checks, and the
-- answer means "in a ring buffer of this worker".

local cjson = require "cjson.safe"
local producer = require "nginx.kafka.producer"

local _M = {}

local TYPES = {
    button_click = {
        button_name = "string",
        position = "int",
        price = "float",
        logged_in = "bool",
        note = "string",
    },
}

local REQUIRED = { "button_name", "position" }

local KNOWN = {
    event_type = true, event_id = true, timestamp = true, user_id = true,
    session_id = true, anonymous_id = true, fields = true, context = true,
}

local CHECK = {
    string = function(v) return type(v) == "string" end,
    bool = function(v) return type(v) == "boolean" end,
    float = function(v) return type(v) == "number" end,
    int = function(v) return type(v) == "number" and v % 1 == 0 end,
}


local function valid(event)
    if type(event) ~= "table" or type(event.fields) ~= "table" then
        return false
    end

    local fields = TYPES[event.event_type]

    if not fields then
        return false
    end

    for name in pairs(event) do
        if not KNOWN[name] then
            return false
        end
    end

    for name, value in pairs(event.fields) do
        local kind = fields[name]

        if not kind or not CHECK[kind](value) then
            return false
        end
    end

    for _, name in ipairs(REQUIRED) do
        if event.fields[name] == nil then
            return false
        end
    end

    return true
end


function _M.serve(host, port, topic)
    ngx.req.read_body()

    local body = cjson.decode(ngx.req.get_body_data() or "")

    if not body then
        return ngx.exit(400)
    end

    local events = body.batch or { body }

    for _, event in ipairs(events) do
        if not valid(event) then
            return ngx.exit(422)
        end
    end

    local p = producer:new({ { host = host, port = port } },
                           { producer_type = "async", required_acks = -1 })
    local now = ngx.now() * 1000
    local agent = ngx.var.http_user_agent

    for _, event in ipairs(events) do
        event.received_at = now
        event.ip = ngx.var.remote_addr
        event.user_agent = agent

        local ok = p:send(topic, event.session_id, cjson.encode(event))

        if not ok then
            return ngx.exit(503)
        end
    end

    return ngx.exit(204)
end


return _M
