/* SPDX-License-Identifier: MIT
 *
 * As much of FreeRTOS as examples/freertos.c needs, on threads: to compile and to run it.
 */
#ifndef TEST_FREERTOS_H
#define TEST_FREERTOS_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

typedef uint32_t TickType_t;
typedef pthread_t *TaskHandle_t;

#define configTICK_RATE_HZ 250
#define pdMS_TO_TICKS(ms)  ((TickType_t)((uint64_t)(ms)*configTICK_RATE_HZ / 1000u))

#endif
