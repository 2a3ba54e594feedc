/*
 * What MQTT is used for at home and at work, played by paho's C client as Debian ships it: MQTT 5,
 * and 3.1.1 where the connection breaks.
 *
 *   paho SCENARIO ADDRESS     prints what it saw as JSON
 */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 30000L
#define COUNT(list) (sizeof(list) / sizeof(list[0]))

static char address[256];

static void fail(const char *what, int code) {
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

static void must(const char *what, int code) {
    if (code != MQTTCLIENT_SUCCESS) fail(what, code);
}

/* A client of MQTT 5; `expiry`: how long its session stays, in seconds. */
static MQTTClient connect5(const char *name, int clean, int expiry, MQTTClient_willOptions *will) {
    MQTTClient client;
    MQTTClient_createOptions creation = MQTTClient_createOptions_initializer;
    creation.MQTTVersion = MQTTVERSION_5;
    must("create", MQTTClient_createWithOptions(&client, address, name, MQTTCLIENT_PERSISTENCE_NONE, NULL, &creation));
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
    options.cleanstart = clean;
    options.keepAliveInterval = 60;
    options.username = "alice";
    options.password = "secret";
    options.will = will;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty lasting = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = expiry};
    MQTTProperties_add(&properties, &lasting);
    MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
    must("connect", response.reasonCode);
    MQTTResponse_free(response);
    MQTTProperties_free(&properties);
    return client;
}

static void subscribe5(MQTTClient client, const char *filter, int qos) {
    MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
    if (response.reasonCode != (enum MQTTReasonCodes)qos) fail(filter, response.reasonCode);
    MQTTResponse_free(response);
}

static void publish5(MQTTClient client, const char *topic, const char *body, int qos, int retained, MQTTProperties *properties) {
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = (void *)body;
    message.payloadlen = strlen(body);
    message.qos = qos;
    message.retained = retained;
    if (properties != NULL) message.properties = *properties;
    MQTTClient_deliveryToken token;
    MQTTResponse response = MQTTClient_publishMessage5(client, topic, &message, &token);
    must("publish", response.reasonCode);
    MQTTResponse_free(response);
    if (qos > 0) must("completion", MQTTClient_waitForCompletion(client, token, PATIENCE_MS));
}

/* The next message, or NULL where none comes. */
static MQTTClient_message *receive(MQTTClient client, char *topic, long patience_ms) {
    char *name = NULL;
    int length = 0;
    MQTTClient_message *message = NULL;
    int code = MQTTClient_receive(client, &name, &length, &message, patience_ms);
    if (code != MQTTCLIENT_SUCCESS && code != MQTTCLIENT_TOPICNAME_TRUNCATED) fail("receive", code);
    if (message == NULL) return NULL;
    if (topic != NULL) strcpy(topic, name);
    MQTTClient_free(name);
    return message;
}

static int is(MQTTClient_message *message, const char *body) {
    return (size_t)message->payloadlen == strlen(body) && memcmp(message->payload, body, strlen(body)) == 0;
}

/* Prints text with its quotes escaped. */
static void print_text(const char *text, int length) {
    putchar('"');
    for (int i = 0; i < length; i++) {
        if (text[i] == '"') putchar('\\');
        putchar(text[i]);
    }
    putchar('"');
}

static void discovery(void) {
    const char *names[] = {"kitchen", "garage"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char topic[128], config[128];
        MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
        sprintf(topic, "c/%s/availability", names[i]);
        will.topicName = topic;
        will.message = "offline";
        will.retained = 1;
        will.qos = 1;
        MQTTClient device = connect5(names[i], 1, 0, &will);
        publish5(device, topic, "online", 1, 1, NULL);
        sprintf(topic, "c-ha/sensor/%s/config", names[i]);
        sprintf(config, "{\"name\":\"%s\"}", names[i]);
        publish5(device, topic, config, 1, 1, NULL);
    }
    MQTTClient hub = connect5("c-hub", 1, 0, NULL);
    subscribe5(hub, "c-ha/+/+/config", 1);
    subscribe5(hub, "c/+/availability", 1);
    for (int i = 0; i < 4; i++) {
        char topic[128];
        MQTTClient_message *message = receive(hub, topic, PATIENCE_MS);
        if (message == NULL || !message->retained) fail("not retained", i);
        printf("%s\"%s\":", i == 0 ? "{" : ",", topic);
        print_text(message->payload, message->payloadlen);
        MQTTClient_freeMessage(&message);
    }
    printf("}\n");
}

static void workers(void) {
    MQTTClient members[3];
    int busy[COUNT(members)] = {0}, jobs = 0;
    for (size_t i = 0; i < COUNT(members); i++) {
        char name[32];
        sprintf(name, "c-worker-%zu", i);
        members[i] = connect5(name, 1, 0, NULL);
        subscribe5(members[i], "$share/crew/c/jobs", 1);
    }
    MQTTClient boss = connect5("c-boss", 1, 0, NULL);
    int done[30] = {0};
    for (size_t i = 0; i < COUNT(done); i++) {
        char body[16];
        sprintf(body, "%zu", i);
        publish5(boss, "c/jobs", body, 1, 0, NULL);
    }
    for (int rounds = 0; jobs < (int)COUNT(done) && rounds < 1000; rounds++) {
        for (size_t i = 0; i < COUNT(members); i++) {
            MQTTClient_message *message = receive(members[i], NULL, 20);
            if (message == NULL) continue;
            int job = atoi(strndup(message->payload, message->payloadlen));
            if (done[job]++ > 0) fail("a job was done twice", job);
            jobs++;
            busy[i] = 1;
            MQTTClient_freeMessage(&message);
        }
    }
    printf("{\"jobs\":%d,\"workers\":%d}\n", jobs, busy[0] + busy[1] + busy[2]);
}

static void add_text(MQTTProperties *properties, enum MQTTPropertyCodes code, char *name, int length, char *value) {
    MQTTProperty property = {.identifier = code};
    property.value.data.data = name;
    property.value.data.len = length;
    property.value.value.data = value;
    property.value.value.len = value == NULL ? 0 : strlen(value);
    must("property", MQTTProperties_add(properties, &property));
}

static void rpc(void) {
    MQTTClient asker = connect5("c-asker", 1, 0, NULL), service = connect5("c-service", 1, 0, NULL);
    subscribe5(service, "c/square", 1);
    subscribe5(asker, "c/answers/1", 1);
    int correlated = 0;
    char trace[32] = "";
    printf("{\"answers\":[");
    for (char i = 0; i < 5; i++) {
        char id[] = {i, 0, (char)0xff}, body[16];
        MQTTProperties asked = MQTTProperties_initializer;
        add_text(&asked, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "c/answers/1", 11, NULL);
        add_text(&asked, MQTTPROPERTY_CODE_CORRELATION_DATA, id, sizeof(id), NULL);
        add_text(&asked, MQTTPROPERTY_CODE_USER_PROPERTY, "trace", 5, "1");
        add_text(&asked, MQTTPROPERTY_CODE_USER_PROPERTY, "trace", 5, "2");
        sprintf(body, "%d", i);
        publish5(asker, "c/square", body, 1, 0, &asked);
        MQTTClient_message *request = receive(service, NULL, PATIENCE_MS);
        if (request == NULL) fail("no request", i);
        MQTTProperty *topic = MQTTProperties_getProperty(&request->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
        MQTTProperty *given = MQTTProperties_getProperty(&request->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
        for (int k = 0; i == 0 && k < 2; k++) {
            MQTTProperty *user = MQTTProperties_getPropertyAt(&request->properties, MQTTPROPERTY_CODE_USER_PROPERTY, k);
            sprintf(trace + strlen(trace), "%s%.*s", k == 0 ? "" : ",", user->value.value.len, user->value.value.data);
        }
        int number = atoi(strndup(request->payload, request->payloadlen));
        sprintf(body, "%d", number * number);
        MQTTProperties answered = MQTTProperties_initializer;
        MQTTProperties_add(&answered, given);
        char *to = strndup(topic->value.data.data, topic->value.data.len);
        publish5(service, to, body, 1, 0, &answered);
        MQTTClient_message *answer = receive(asker, NULL, PATIENCE_MS);
        if (answer == NULL) fail("no answer", i);
        MQTTProperty *back = MQTTProperties_getProperty(&answer->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
        correlated += back->value.data.len == sizeof(id) && memcmp(back->value.data.data, id, sizeof(id)) == 0;
        printf("%s%.*s", i == 0 ? "" : ",", answer->payloadlen, (char *)answer->payload);
        free(to);
    }
    printf("],\"correlated\":%d,\"trace\":\"%s\"}\n", correlated, trace);
}

static void offline(void) {
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = "c/gone";
    will.message = "lost";
    will.qos = 1;
    MQTTClient away = connect5("c-away", 1, 300, &will), other = connect5("c-other", 1, 0, NULL);
    subscribe5(away, "c/kept", 2);
    subscribe5(other, "c/gone", 1);
    /* DISCONNECT with 0x04: its will is published all the same. */
    must("disconnect", MQTTClient_disconnect5(away, 1000, MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE, NULL));
    const char *bodies[] = {"1", "2", "3"};
    for (size_t i = 0; i < COUNT(bodies); i++) publish5(other, "c/kept", bodies[i], 2, 0, NULL);
    away = connect5("c-away", 0, 300, NULL);
    printf("{\"bodies\":\"");
    for (size_t i = 0; i < COUNT(bodies); i++) {
        MQTTClient_message *message = receive(away, NULL, PATIENCE_MS);
        if (message == NULL || !is(message, bodies[i])) fail("not in order", i);
        printf("%s%s", i == 0 ? "" : " ", bodies[i]);
    }
    MQTTClient_message *gone = receive(other, NULL, PATIENCE_MS);
    if (gone == NULL) fail("no will", 0);
    printf("\",\"gone\":\"%.*s\"}\n", gone->payloadlen, (char *)gone->payload);
}

/* Numbers to itself with QoS 2, while the connection breaks at every step. */
static int counts[40];
static volatile int different, more;

static int arrived(void *context, char *topic, int length, MQTTClient_message *message) {
    (void)context;
    (void)length;
    char body[16] = "";
    memcpy(body, message->payload, message->payloadlen);
    if (counts[atoi(body)]++ == 0) different++;
    else more++;
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void lost(void *context, char *cause) {
    (void)context;
    MQTTClient_free(cause);
}

static void reconnect(MQTTClient client) {
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.cleansession = 0;
    options.keepAliveInterval = 60;
    options.connectTimeout = 2;
    options.username = "alice";
    options.password = "secret";
    for (int tries = 0; !MQTTClient_isConnected(client); tries++) {
        if (tries > 500) fail("cannot connect again", tries);
        MQTTClient_connect(client, &options);
        if (!MQTTClient_isConnected(client)) usleep(10000);
    }
}

static void once(void) {
    char folder[] = "/tmp/paho-once-XXXXXX";
    if (mkdtemp(folder) == NULL) fail("no folder", 0);
    MQTTClient client;
    must("create", MQTTClient_create(&client, address, "c-once", MQTTCLIENT_PERSISTENCE_DEFAULT, folder));
    must("callbacks", MQTTClient_setCallbacks(client, NULL, lost, arrived, NULL));
    reconnect(client);
    must("subscribe", MQTTClient_subscribe(client, "c/once", 2));
    for (size_t i = 0; i < COUNT(counts); i++) {
        char body[16];
        sprintf(body, "%zu", i);
        MQTTClient_deliveryToken token;
        while (MQTTClient_publish(client, "c/once", strlen(body), body, 2, 0, &token) != MQTTCLIENT_SUCCESS) {
            reconnect(client);
        }
        while (MQTTClient_waitForCompletion(client, token, 100) != MQTTCLIENT_SUCCESS) reconnect(client);
    }
    for (int waited = 0; different < (int)COUNT(counts) && waited < 1000; waited++) {
        reconnect(client);
        usleep(10000);
    }
    usleep(200000);
    printf("{\"different\":%d,\"more\":%d}\n", different, more);
}

int main(int argc, char **argv) {
    const struct {
        const char *name;
        void (*play)(void);
    } scenarios[] = {{"discovery", discovery}, {"workers", workers}, {"rpc", rpc}, {"offline", offline}, {"once", once}};
    if (argc != 3) fail("usage: paho SCENARIO ADDRESS", argc);
    sprintf(address, "tcp://%.200s", argv[2]);
    for (size_t i = 0; i < COUNT(scenarios); i++) {
        if (strcmp(scenarios[i].name, argv[1]) == 0) {
            scenarios[i].play();
            return 0;
        }
    }
    fail("no such scenario", 0);
}
