/*
 * A host for out_coldscope.so that calls it as Fluent Bit's Go proxy does. It
 * reads commands from standard input, one a line, and answers each with one
 * number on standard output, the plugin's own return value:
 *
 *   register               FLBPluginRegister
 *   set N KEY VALUE        a property of output section N (0-3); answers 1
 *   init N                 FLBPluginInit
 *   flush N TAG FILE       FLBPluginFlushCtx with the file's bytes
 *   exit N                 FLBPluginExitCtx
 *   unregister             FLBPluginUnregister; answers 1
 *
 * The structures have the layout of Fluent Bit's include/fluent-bit/
 * flb_plugin_proxy.h and src/proxy/go/go.h.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECTIONS 4
#define PROPERTIES 32

struct proxy_def {
    int type;
    int proxy;
    int flags;
    char *name;
    char *description;
    void *config_map;
    int event_type;
};

struct section {
    int n;
    char *key[PROPERTIES];
    char *value[PROPERTIES];
};

struct proxy_context {
    void *remote_context;
    void *proxy;
};

struct api {
    char *(*output_get_property)(char *, void *);
    char *(*input_get_property)(char *, void *);
};

struct go_output_plugin {
    char *name;
    void *api;
    void *o_ins;
    struct proxy_context *context;
    int (*cb_init)(struct go_output_plugin *);
    int (*cb_flush)(const void *, size_t, const char *);
    int (*cb_flush_ctx)(void *, const void *, size_t, char *);
    int (*cb_exit)(void);
    int (*cb_exit_ctx)(void *);
};

/* Fluent Bit compares the names of properties without regard to case and
 * gives NULL for one that is not set. */
static char *get_property(char *key, void *instance)
{
    struct section *s = instance;
    for (int i = 0; i < s->n; i++) {
        if (strcasecmp(s->key[i], key) == 0) {
            return s->value[i];
        }
    }
    return NULL;
}

static void *symbol(void *so, const char *name)
{
    void *p = dlsym(so, name);
    if (p == NULL) {
        fprintf(stderr, "host: %s\n", dlerror());
        exit(2);
    }
    return p;
}

/* slurp gives a copy of exactly the file's size, so that reading past its end
 * is an error that a checker sees. */
static char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    *size = (size_t) ftell(f);
    rewind(f);
    char *data = malloc(*size);
    if (*size > 0 && fread(data, 1, *size, f) != *size) {
        perror(path);
        exit(2);
    }
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: host PLUGIN.so\n");
        return 2;
    }
    void *so = dlopen(argv[1], RTLD_LAZY);
    if (so == NULL) {
        fprintf(stderr, "host: %s\n", dlerror());
        return 2;
    }
    int (*cb_register)(struct proxy_def *) = symbol(so, "FLBPluginRegister");
    void (*cb_unregister)(struct proxy_def *) = symbol(so, "FLBPluginUnregister");

    struct proxy_def def = {0};
    struct api api = {.output_get_property = get_property};
    static struct section sections[SECTIONS];
    static struct proxy_context contexts[SECTIONS];
    static struct go_output_plugin plugins[SECTIONS];
    for (int i = 0; i < SECTIONS; i++) {
        plugins[i] = (struct go_output_plugin){
            .name = "coldscope", .api = &api, .o_ins = &sections[i], .context = &contexts[i],
            .cb_init = symbol(so, "FLBPluginInit"),
            .cb_flush_ctx = symbol(so, "FLBPluginFlushCtx"),
            .cb_exit = symbol(so, "FLBPluginExit"),
            .cb_exit_ctx = symbol(so, "FLBPluginExitCtx"),
        };
    }

    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char word[32] = "", a[1024] = "", b[2048] = "";
        int n = 0, result = -1;
        line[strcspn(line, "\n")] = '\0';
        sscanf(line, "%31s %d %1023s %2047[^\n]", word, &n, a, b);
        if (n < 0 || n >= SECTIONS) {
            fprintf(stderr, "host: no section %d\n", n);
            return 2;
        }
        struct section *s = &sections[n];
        if (strcmp(word, "register") == 0) {
            result = cb_register(&def);
            if (def.type != 2 || def.proxy != 11 || def.name == NULL || strcmp(def.name, "coldscope") != 0) {
                fprintf(stderr, "host: registered type %d proxy %d\n", def.type, def.proxy);
                return 2;
            }
        } else if (strcmp(word, "set") == 0 && s->n < PROPERTIES) {
            s->key[s->n] = strdup(a);
            s->value[s->n++] = strdup(b);
            result = 1;
        } else if (strcmp(word, "init") == 0) {
            result = plugins[n].cb_init(&plugins[n]);
        } else if (strcmp(word, "flush") == 0) {
            size_t size;
            char *data = slurp(b, &size);
            result = plugins[n].cb_flush_ctx(contexts[n].remote_context, data, size, a);
            memset(data, 0xc1, size); /* the plugin must not keep it */
            free(data);
        } else if (strcmp(word, "exit") == 0) {
            result = plugins[n].cb_exit_ctx(contexts[n].remote_context);
        } else if (strcmp(word, "unregister") == 0) {
            cb_unregister(&def);
            result = 1;
        } else {
            fprintf(stderr, "host: bad command %s\n", word);
            return 2;
        }
        printf("%d\n", result);
        fflush(stdout);
    }
    return 0;
}
