/* SPDX-License-Identifier: MIT */
#ifndef TEST_FREERTOS_TASK_H
#define TEST_FREERTOS_TASK_H

#include "FreeRTOS.h"

static inline TickType_t xTaskGetTickCount(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (TickType_t)((uint64_t)now.tv_sec * configTICK_RATE_HZ +
                        (uint64_t)now.tv_nsec * configTICK_RATE_HZ / 1000000000u);
}

static inline void vTaskDelay(TickType_t ticks)
{
    usleep(ticks * (1000000u / configTICK_RATE_HZ));
}

/* NULL: the task that calls. */
static inline void vTaskDelete(TaskHandle_t task)
{
    (void)task;
    pthread_exit(NULL);
}

#endif
