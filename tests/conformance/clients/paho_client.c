/* Eclipse Paho for C (MQTTAsync over OpenSSL) as a client of the suite. What it reads and prints: peers.py.
 * The library tells of pings and of refused reconnects in its trace only, so that is listened to. */
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
  const char *host, *port, *ca, *cert, *key, *id, *version, *keep_alive, *will;
  int once, keep_session;
} args;
static MQTTAsync client;
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static volatile int has_left = 0;

static int is_five(void) { return strcmp(args.version, "5") == 0; }

static void tell(const char* event, const char* name, int value) {
  pthread_mutex_lock(&output);
  if (name == NULL) printf("{\"event\": \"%s\"}\n", event);
  else printf("{\"event\": \"%s\", \"%s\": %d}\n", event, name, value);
  fflush(stdout);
  pthread_mutex_unlock(&output);
}

static void tell_text(const char* text, int length) {
  putchar('"');
  for (int i = 0; i < length; i++) {
    if (text[i] == '"' || text[i] == '\\') putchar('\\');
    putchar(text[i]);
  }
  putchar('"');
}

static int on_message(void* context, char* topic, int topic_length, MQTTAsync_message* message) {
  pthread_mutex_lock(&output);
  printf("{\"event\": \"message\", \"qos\": %d, \"topic\": ", message->qos);
  tell_text(topic, topic_length > 0 ? topic_length : (int)strlen(topic));
  printf(", \"payload\": ");
  tell_text(message->payload, message->payloadlen);
  printf("}\n");
  fflush(stdout);
  pthread_mutex_unlock(&output);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  return 1;
}

/* A loss is told by one of the two: a DISCONNECT does not count as a lost connection here. */
static void on_disconnect(void* context, MQTTProperties* properties, enum MQTTReasonCodes code) {
  tell("lost", "code", (int)code);
}
static void on_lost(void* context, char* cause) { tell("lost", NULL, 0); }

static void on_trace(enum MQTTASYNC_TRACE_LEVELS level, char* text) {
  const char* connack = strstr(text, "CONNACK rc: ");
  if (strstr(text, "<- PINGRESP") != NULL) tell("pong", NULL, 0);
  if (connack == NULL) return;
  const int code = atoi(connack + strlen("CONNACK rc: "));
  if (code != 0) tell("refused", "code", code);
}

static void on_connected(void* context, char* cause) { tell("connected", NULL, 0); }
static void on_failed(void* context, MQTTAsync_failureData* data) { tell("failed", "code", data->code); }
static void on_failed_five(void* context, MQTTAsync_failureData5* data) {
  tell("failed", "code", (int)data->reasonCode);
}
static void on_left(void* context, MQTTAsync_successData* data) { has_left = 1; }
static void on_left_five(void* context, MQTTAsync_successData5* data) { has_left = 1; }

static void tell_codes(int code) {
  pthread_mutex_lock(&output);
  printf("{\"event\": \"subscribed\", \"codes\": [%d]}\n", code);
  fflush(stdout);
  pthread_mutex_unlock(&output);
}
static void on_subscribed(void* context, MQTTAsync_successData* data) { tell_codes(data->alt.qos); }
static void on_subscribed_five(void* context, MQTTAsync_successData5* data) { tell_codes((int)data->reasonCode); }
static void on_unsubscribed(void* context, MQTTAsync_failureData* data) {
  tell_codes(data->code < 0 ? 128 : data->code);
}
static void on_unsubscribed_five(void* context, MQTTAsync_failureData5* data) { tell_codes((int)data->reasonCode); }
static void on_sent(void* context, MQTTAsync_successData* data) { tell("sent", "code", 0); }
static void on_sent_five(void* context, MQTTAsync_successData5* data) { tell("sent", "code", (int)data->reasonCode); }
static void on_unsent(void* context, MQTTAsync_failureData* data) { tell("sent", "code", data->code); }
static void on_unsent_five(void* context, MQTTAsync_failureData5* data) { tell("sent", "code", (int)data->reasonCode); }

static void must(int code, const char* what) {
  if (code == MQTTASYNC_SUCCESS) return;
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

static void start(void) {
  char uri[300];
  snprintf(uri, sizeof uri, "ssl://%s:%s", args.host, args.port);
  MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
  create.MQTTVersion = is_five() ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
  must(MQTTAsync_createWithOptions(&client, uri, args.id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create), "create");
  must(MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL), "callbacks");
  must(MQTTAsync_setConnected(client, NULL, on_connected), "connected");
  must(MQTTAsync_setDisconnected(client, NULL, on_disconnect), "disconnected");
  MQTTAsync_setTraceCallback(on_trace);
  MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_PROTOCOL);

  MQTTAsync_connectOptions three = MQTTAsync_connectOptions_initializer;
  MQTTAsync_connectOptions five = MQTTAsync_connectOptions_initializer5;
  MQTTAsync_connectOptions* options = is_five() ? &five : &three;
  MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
  MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
  MQTTProperties properties = MQTTProperties_initializer;
  MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                         .value.integer4 = args.keep_session ? 300 : 0};
  tls.trustStore = args.ca;
  tls.keyStore = args.cert;
  tls.privateKey = args.key;
  tls.verify = 1;
  options->ssl = &tls;
  options->keepAliveInterval = atoi(args.keep_alive);
  options->automaticReconnect = !args.once;
  options->minRetryInterval = 1;
  options->maxRetryInterval = 1;
  if (args.will != NULL) {
    will.topicName = args.will;
    will.message = "gone";
    will.qos = 1;
    options->will = &will;
  }
  if (is_five()) {
    MQTTProperties_add(&properties, &expiry);
    options->connectProperties = &properties;
    options->cleanstart = !args.keep_session;
    options->onFailure5 = on_failed_five;
  } else {
    options->MQTTVersion = MQTTVERSION_3_1_1;
    options->cleansession = !args.keep_session;
    options->onFailure = on_failed;
  }
  must(MQTTAsync_connect(client, options), "connect");
  MQTTProperties_free(&properties);
}

static void obey(char* line) {
  MQTTAsync_responseOptions answer = MQTTAsync_responseOptions_initializer;
  const char *word = strtok(line, "\t\n"), *topic = strtok(NULL, "\t\n"), *qos = strtok(NULL, "\t\n");
  if (word == NULL || topic == NULL || qos == NULL) return;
  if (strcmp(word, "subscribe") == 0) {
    if (is_five()) {
      answer.onSuccess5 = on_subscribed_five;
      answer.onFailure5 = on_unsubscribed_five;
    } else {
      answer.onSuccess = on_subscribed;
      answer.onFailure = on_unsubscribed;
    }
    must(MQTTAsync_subscribe(client, topic, atoi(qos), &answer), "subscribe");
    return;
  }
  char* payload = strtok(NULL, "\n");
  if (is_five()) {
    answer.onSuccess5 = on_sent_five;
    answer.onFailure5 = on_unsent_five;
  } else {
    answer.onSuccess = on_sent;
    answer.onFailure = on_unsent;
  }
  must(MQTTAsync_send(client, topic, (int)strlen(payload), payload, atoi(qos), 0, &answer), "publish");
}

int main(int count, char** words) {
  const struct {
    const char *name, **into;
  } options[] = {
      {"--host", &args.host}, {"--port", &args.port}, {"--ca", &args.ca},           {"--cert", &args.cert},
      {"--key", &args.key},   {"--id", &args.id},     {"--version", &args.version}, {"--keep-alive", &args.keep_alive},
      {"--will", &args.will}};
  for (int i = 1; i < count; i++) {
    if (strcmp(words[i], "--once") == 0) args.once = 1;
    if (strcmp(words[i], "--keep-session") == 0) args.keep_session = 1;
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++)
      if (strcmp(words[i], options[o].name) == 0 && i + 1 < count) *options[o].into = words[i + 1];
  }
  start();
  static char line[300000];
  while (fgets(line, sizeof line, stdin) != NULL) obey(line);
  MQTTAsync_disconnectOptions bye = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync_disconnectOptions bye_five = MQTTAsync_disconnectOptions_initializer5;
  bye.onSuccess = on_left;
  bye_five.onSuccess5 = on_left_five;
  if (MQTTAsync_disconnect(client, is_five() ? &bye_five : &bye) == MQTTASYNC_SUCCESS)
    for (int i = 0; i < 100 && !has_left; i++) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
  MQTTAsync_destroy(&client);
  return 0;
}
