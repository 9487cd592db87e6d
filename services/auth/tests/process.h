/* process: remoteler-auth itself, started as a person would. */
#ifndef RL_AUTH_TESTS_PROCESS_H
#define RL_AUTH_TESTS_PROCESS_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    int log_fd; /* its stderr */
    uint16_t port, proxied_port, control_port, health_port;
};

/** Starts `remoteler-auth run` on free ports. */
void process_start(struct process *process, const char *database, const char *key_file,
                   uint16_t health_port);
/** Reads its log until it serves, and then knows the ports; fails after 30 s. */
void process_wait_serving(struct process *process);
/** Reads its log until a line holds the text. */
void process_wait_log(struct process *process, const char *text);
/** Sends SIGTERM and gives the exit status. */
int process_end(struct process *process);
/** The status of GET http://127.0.0.1:port/path; 0: no answer. */
int process_http_status(uint16_t port, const char *path);
uint16_t process_free_port(void);

#endif
